"""The settings that a contract suite is run with: ``--backbone``, ``--set`` and ``--data-root`` of ``ltbench plugin test``."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from ltbench.config import BackboneConfig, DatasetConfig
from ltbench.errors import UsageError
from ltbench.registry.manager import plugins
from ltbench.settings.errors import Keys, check
from ltbench.settings.layers import KeyPath, Layer, leaves, merge, nest, only_about, parse_override
from ltbench.settings.recipe_files import dependency_order
from ltbench.testing.method_contract import BACKBONE, shortened

if TYPE_CHECKING:
    from ltbench.method import MethodConfig

OPTIONS: KeyPath = ("dataset", "options")
"""Where a dataset's options stand."""


class Tables(BaseModel):
    """What can be set beside the tables of methods and fusers."""

    model_config = ConfigDict(extra="forbid")

    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    dataset: DatasetConfig = Field(default_factory=DatasetConfig)


class ContractSettings:
    """Settings of the suites for some methods, fusers and datasets.

    Args:
        names: kind -> what is tested.
        backbone: timm's name.
        overrides: ``KEY=VALUE`` each.
        data_root: folder of a dataset's images.

    Attributes:
        backbone: the table ``[backbone]``; None: nothing was said of it.

    Raises:
        UsageError: a key that belongs to nothing that is tested, or a value that is wrong.
    """

    def __init__(
        self, names: Mapping[str, Sequence[str]], backbone: str | None, overrides: Sequence[str], data_root: Path | None
    ) -> None:
        option = [] if backbone is None else [Layer("--backbone", {"backbone": backbone})]
        self._user = [*option, *map(parse_override, overrides)]
        self._names, self._root = names, data_root
        self._refuse_what_takes_no_part()
        self.backbone = self._backbone()
        for name in self._given:
            self.config(name)

    def _backbone(self) -> dict[str, Any] | None:
        merged = merge([layer for layer in self._user if "backbone" in layer.values])
        if not any(path[0] == "backbone" for path in merged):
            return None
        given = merged.get(("backbone", "name"))
        below = Layer("default", {"backbone": BACKBONE.model_dump()})
        named = BACKBONE.name if given is None else given.value
        merged = merge([*only_about([below], "backbone", named, unnamed=BACKBONE.name), *self._user])
        checked: BackboneConfig = check(
            self._keys(("backbone",), BackboneConfig), ("backbone",), nest(merged)["backbone"], merged
        )
        return checked.model_dump()

    @property
    def root(self) -> Path | None:
        """Folder of a dataset's images."""
        given = merge(self._user).get(("dataset", "root"))
        return self._root if given is None else Path(str(given.value))

    def options(self, model: type[BaseModel]) -> BaseModel:
        """A dataset's options."""
        merged = merge(self._user)
        values = nest(merged).get("dataset", {}).get("options", {})
        checked: BaseModel = check(self._keys(OPTIONS, model), OPTIONS, values, merged)
        return checked

    def config(self, name: str) -> Any:
        """Hyperparameters of a method or fuser; None: nothing was said of it, and its suite chooses.

        What is not set of a method is as without: its trainings are cut short.
        """
        if name not in self._given:
            return None
        registry = plugins().methods if name in plugins().methods.names() else plugins().fusers
        model: type[BaseModel] = registry.load(name).Config
        defaults = {
            key: shortened(value).model_dump()
            for key, value in vars(model.model_construct()).items()
            if isinstance(value, BaseModel)
        }
        merged = merge([Layer("default", {name: defaults}), *self._user])
        return check(self._keys((name,), model), (name,), nest(merged)[name], merged)

    def required(self, method: str) -> "dict[str, MethodConfig]":
        """Those of the methods that one starts from, as far as something is said of them."""
        return {name: self.config(name) for name in dependency_order([method])[:-1] if name in self._given}

    @property
    def _given(self) -> set[str]:
        """Methods and fusers of which something is said."""
        return {key for layer in self._user for key in layer.values} - set(Tables.model_fields)

    @cached_property
    def _sections(self) -> list[str]:
        """The tables that mean something here."""
        methods = dependency_order(self._names["method"])
        backbone = ["backbone"] if methods else []
        dataset = ["dataset"] if self._names["dataset"] else []
        return [*backbone, *dataset, *methods, *self._names["fuser"]]

    def _keys(self, path: KeyPath, model: type[BaseModel]) -> Keys:
        sections = [name for name in self._sections if name not in Tables.model_fields]
        return Keys({(): Tables, path: model}, sections)

    def _refuse_what_takes_no_part(self) -> None:
        for layer in self._user:
            for name, value in layer.values.items():
                path, given = next(iter(leaves({name: value})), ((name,), value))
                if name not in self._sections or path == ("dataset", "name"):
                    raise UsageError(
                        f"{'.'.join(path)} = {given!r} (from {layer.source}): '{name}' takes no part in this test; what can be "
                        f"set is {', '.join(self._sections)}."
                    )
