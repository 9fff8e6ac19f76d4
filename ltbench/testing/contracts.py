"""What a contract suite is run on: everything of a plugin, by its file, folder, distribution or a name, with settings.

:func:`contracts_of` is what ``ltbench plugin test`` and a plugin author's own test ask, see :mod:`ltbench.testing`.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ltbench.errors import PluginError, UsageError, did_you_mean
from ltbench.plugin import Spec
from ltbench.registry.lookup import PluginRecord, Registered, Registry, normalized
from ltbench.registry.manager import add_plugin_file, examine_plugins
from ltbench.testing.contract_settings import ContractSettings


@dataclass(frozen=True)
class Contract:
    """One method, fuser or dataset, and the suite of its kind.

    Attributes:
        kind: ``method``, ``fuser`` or ``dataset``.
        name: what to type for it.
        spec: as its plugin registers it.
        settings: what it is checked with.
    """

    kind: str
    name: str
    spec: Spec
    settings: ContractSettings

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"

    @cached_property
    def cls(self) -> type[Any]:
        """Its class, imported now. Raises PluginError where it cannot be."""
        registry: Registry[Any] = getattr(examine_plugins(), f"{self.kind}s")
        return registry.load(self.name)

    def check(self) -> None:
        """Run the suite of its kind.

        Raises:
            AssertionError: one line that says which promise is broken.
            DataError: a dataset that needs a folder of images, and was given none.
            LtbenchError: settings that do not fit, or the class cannot be imported.
        """
        from ltbench import testing

        settings, cls = self.settings, self.cls
        if self.kind == "dataset":
            testing.check_dataset(cls, settings.options(cls.Options), root=settings.root)
        elif self.kind == "fuser":
            testing.check_fuser(cls, settings.config(self.name))
        else:
            testing.check_method(
                self.name, settings.config(self.name), backbone=settings.backbone, required=settings.required(self.name)
            )


def contracts_of(
    target: str | Path,
    *,
    backbone: str | None = None,
    overrides: Sequence[str] = (),
    data_root: Path | str | None = None,
) -> list[Contract]:
    """The contracts of everything that a plugin registers, or of what has a name.

    In a test of a package this needs none of the names in it, so that it survives renaming them::

        @pytest.mark.parametrize("contract", contracts_of(Path(__file__).parents[1]), ids=str)
        def test_it_keeps_its_promises(contract):
            contract.check()

    Args:
        target: a Python file; the folder of a package's ``pyproject.toml``, which must be installed; a distribution; or the name
            of a method, fuser or dataset.
        backbone: timm's name of the network that methods are trained with; by default a narrow ResNet-10.
        overrides: ``KEY=VALUE`` each, as in ``--set``: ``backbone.kwargs.img_size=16``, ``mymethod.weight=0.5``,
            ``dataset.options.seed=1``.
        data_root: folder of a dataset's images.

    Raises:
        UsageError: nothing is called that, or a key or value is wrong.
        PluginError: what is called that cannot be used.
    """
    records, entries = found(target)
    for record in records:
        if not record.usable:
            raise PluginError(f"{record} is {record.status}: {record.error}.")
    if not entries:
        raise UsageError(f"'{target}' registers no method, fuser or dataset: there is nothing to check.")
    return made(entries, backbone=backbone, overrides=overrides, data_root=data_root)


Entries = list[tuple[Registry[Any], Registered[Any]]]


def found(target: str | Path) -> tuple[list[PluginRecord], Entries]:
    """The plugins that a target names, all of whose things are meant, and the things that are meant. Raises UsageError."""
    path = Path(target)
    if path.is_dir() and (path / "pyproject.toml").is_file():
        return _of_distribution(_distribution_in(path), path)
    if path.is_file():
        add_plugin_file(path)
        return _of([record for record in examine_plugins().records if record.source == str(path.resolve())])
    name = str(target)
    plugins = examine_plugins()
    if chosen := [record for record in plugins.records if normalized(record.distribution) == normalized(name)]:
        return _of(chosen)
    registries: list[Registry[Any]] = [plugins.methods, plugins.fusers, plugins.datasets]
    named = [
        (registry, entry)
        for registry in registries
        for entry in registry.entries()
        if name in (entry.spec.name, entry.qualified)
    ]
    return ([], named) if named else _unknown(name, registries)


def made(
    entries: Entries, *, backbone: str | None, overrides: Sequence[str], data_root: Path | str | None
) -> list[Contract]:
    """The contracts of these entries, with settings that are checked. Raises UsageError for one that is wrong."""
    names = {
        kind: [r.name_of(entry) for r, entry in entries if r.kind == kind] for kind in ("method", "fuser", "dataset")
    }
    settings = ContractSettings(names, backbone, overrides, None if data_root is None else Path(data_root))
    contracts = [Contract(registry.kind, registry.name_of(entry), entry.spec, settings) for registry, entry in entries]
    for contract in contracts:
        if contract.kind == "dataset" and overrides:
            settings.options(contract.cls.Options)
    return contracts


def _of(records: list[PluginRecord]) -> tuple[list[PluginRecord], Entries]:
    plugins = examine_plugins()
    registries: list[Registry[Any]] = [plugins.methods, plugins.fusers, plugins.datasets]
    entries = [(r, entry) for r in registries for entry in r.entries() if any(entry.plugin is one for one in records)]
    return records, entries


def _of_distribution(name: str, folder: Path) -> tuple[list[PluginRecord], Entries]:
    records = [record for record in examine_plugins().records if normalized(record.distribution) == normalized(name)]
    if not records:
        raise UsageError(f"{folder}: its distribution '{name}' has no plugin installed here: pip install -e {folder}.")
    return _of(records)


def _distribution_in(folder: Path) -> str:
    try:
        name = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / 'pyproject.toml'} does not say the distribution's name: [project], name."
        ) from error
    return str(name)


def _unknown(name: str, registries: Sequence[Registry[Any]]) -> tuple[list[PluginRecord], Entries]:
    """Raises PluginError where a plugin that could not be loaded would have it; else UsageError."""
    if name.endswith(".py") or "/" in name:
        raise UsageError(f"{name}: no such file, nor a folder with a pyproject.toml.")
    for registry in registries:
        try:
            registry.get(name)
        except PluginError:
            raise
        except UsageError:
            continue
    distributions = sorted({record.distribution for record in examine_plugins().records})
    known = [*distributions, *(each for registry in registries for each in registry.names())]
    raise UsageError(
        f"'{name}' is neither a file, nor an installed distribution with a plugin ({', '.join(distributions) or 'none'}), nor "
        f"the name of a method, fuser or dataset.{did_you_mean(name, known)} See 'ltbench list'."
    )
