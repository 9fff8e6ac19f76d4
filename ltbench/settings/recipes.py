"""From what a user asks for to the complete settings of a run: defaults < dataset < recipes < file < options < ``--set``.

A dataset may suggest settings from what it finds in its images. A recipe is ``configs/<dataset>/<method>.toml``. The recipes of
the methods that a method requires lie below its own, so that ``experts.toml`` need not repeat ``baseline.toml``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ltbench.common.canonical import digest
from ltbench.config import BackboneConfig, RunConfig
from ltbench.errors import PluginError, UsageError
from ltbench.plugin import ALL
from ltbench.registry.lookup import none_installed
from ltbench.registry.manager import plugins
from ltbench.settings.errors import Keys, check
from ltbench.settings.layers import (
    DEFAULT,
    KeyPath,
    Layer,
    Merged,
    leaves,
    merge,
    nest,
    only_about,
    parse_override,
    read_toml,
    source_of,
)
from ltbench.settings.recipe_files import (
    companions_of,
    control_fusers,
    dependency_order,
    layers_of_controls,
    recipe_layers,
    typed_name,
)
from ltbench.settings.suggested import in_words, suggested_layers

if TYPE_CHECKING:
    from ltbench.fuser import FuserConfig
    from ltbench.method import MethodConfig

FIELDS = frozenset(RunConfig.model_fields) - {"settings", "plugins"}
"""Top-level keys of a file or of ``--set`` that are no section of a method or fuser."""

OPTIONS = ("dataset", "options")
"""Where the dataset's own options stand."""


@dataclass(frozen=True)
class Resolved:
    """A run's settings, complete and checked.

    Attributes:
        config: with every default filled in; ``settings`` has a section for each method of ``order`` and each fuser.
        order: the methods and all that they require, each after what it requires; then references and controls.
        method_configs: for each method of ``order``.
        fuser_configs: for each fuser of the run and each control fuser (``FuserSpec.control``).
        dataset_options: of the dataset class's ``Options``.
        sources: dotted key -> ``default``, ``suggested by DATASET``, ``recipe NAME.toml``, the file's path, the option, or
            ``--set``.
        notes: what a user should know: what the dataset suggests, methods without a recipe, sections that this run does not
            use.
        hash: sha256 of the canonical JSON of ``config`` without the seed, ``dataset.root`` and ``dataset.options.lists``:
            those say where images and lists lie, not which they are. Also without ``backbone.unused``, a mere permission,
            and without ``controls`` where they are wanted.
    """

    config: RunConfig
    order: list[str]
    method_configs: dict[str, "MethodConfig"]
    fuser_configs: dict[str, "FuserConfig"]
    dataset_options: BaseModel
    sources: dict[str, str]
    notes: list[str]

    @property
    def hash(self) -> str:
        left_out: Any = {"seed": True, "dataset": {"root": True, "options": {"lists"}}, "backbone": {"unused"}}
        if self.config.controls:
            left_out["controls"] = True
        return digest(self.config.model_dump(mode="json", exclude=left_out))


def resolve(
    *,
    methods: Sequence[str] = (),
    fusers: Sequence[str] = (),
    dataset: str | None = None,
    root: Path | None = None,
    on_bad_image: str | None = None,
    recipe: str | None = None,
    backbone: str | None = None,
    seed: int | None = None,
    folds: str | None = None,
    controls: bool | None = None,
    config_files: Sequence[Path] = (),
    overrides: Sequence[str] = (),
) -> Resolved:
    """The settings that a command line asks for; what is empty or None was not given there.

    Of ``config_files`` a later one lies above an earlier one.

    Raises:
        UsageError: no method, an unknown name or key, a value that is wrong, a file that cannot be read.
        PluginError: a plugin that the run needs is broken, or methods require each other.
        DataError: a dataset that suggests settings cannot be opened.
    """
    options: list[tuple[str, str, Any]] = [
        ("--method", "methods", list(methods) or None),
        ("--fuser", "fusers", list(fusers) or None),
        ("--dataset", "dataset", dataset),
        ("--data-root", "dataset", {"root": root} if root is not None else None),
        ("--on-bad-image", "dataset", {"options": {"on_bad_image": on_bad_image}} if on_bad_image else None),
        ("--recipe", "recipe", recipe),
        ("--backbone", "backbone", backbone),
        ("--seed", "seed", seed),
        ("--folds", "folds", folds),
        ("--controls" if controls else "--no-controls", "controls", controls),
    ]
    layers = [read_toml(file, str(file)) for file in config_files]
    layers += [Layer(option, {key: value}) for option, key, value in options if value is not None]
    return _resolve([*layers, *map(parse_override, overrides)])


def resolve_config(config: RunConfig) -> Resolved:
    """The same for a :class:`RunConfig` made by hand: recipes fill what was not set. Raises as :func:`resolve`."""
    values = config.model_dump(exclude_unset=True) | ({"recipe": config.recipe} if config.recipe else {})
    return _resolve([Layer("RunConfig", {**values.pop("settings", {}), **values})])


def _resolve(user: list[Layer]) -> Resolved:
    registry = plugins()
    user = [_with_all_methods(layer) for layer in user]
    run_keys = Keys({(): RunConfig}, sections=[*registry.methods.names(), *registry.fusers.names()])
    _refuse_unknown_sections(user, run_keys)
    chosen = _chosen(user, run_keys)
    asked, (beside, notes) = dependency_order(chosen.methods), companions_of(chosen.methods, chosen.controls)
    order = dependency_order([*chosen.methods, *beside])
    user = [*layers_of_controls(user, beside), *user]
    donor = _recipe_dataset(chosen)
    recipes, without = recipe_layers(
        registry.datasets.get(donor).spec, order, set(order) - set(asked), others=donor != chosen.dataset.name
    )
    _refuse_unknown_sections(recipes, run_keys)
    recipes = [*_own_fusers(chosen.methods), *only_about(recipes, "dataset", chosen.dataset.name, unnamed=donor)]
    found, merged = _checked(order, _about_the_chosen(recipes, user, chosen.dataset.name), run_keys)

    said = nest({path: given for path, given in merged.items() if given.source != DEFAULT})
    suggested = suggested_layers(
        found.config.dataset.name, found.dataset_options, found.config.dataset.root, said, order
    )
    if suggested:
        lowest = [layer for layer, _ in suggested]
        _refuse_unknown_sections(lowest, run_keys)
        layers = _about_the_chosen([*lowest, *recipes], user, chosen.dataset.name)
        found, merged = _checked(order, layers, run_keys)
    unused = _unused_sections(user, {*found.method_configs, *found.fuser_configs})
    return replace(found, notes=[*in_words(suggested, merged), *notes, *without, *unused])


def _checked(order: list[str], layers: list[Layer], run_keys: Keys) -> tuple[Resolved, Merged]:
    """The settings that these layers come to, checked, and where each is from."""
    registry = plugins()
    config = _check_run(run_keys, merge(layers))
    asked = [typed_name(registry.fusers, name) for name in config.fusers]
    fusers = list(dict.fromkeys([*asked, *(control_fusers() if config.controls else [])]))
    _refuse_shared_names([*order, *fusers])

    models: dict[KeyPath, type[BaseModel]] = {
        (): RunConfig,
        OPTIONS: registry.datasets.load(config.dataset.name).Options,
    }
    models |= {(name,): registry.methods.load(name).Config for name in order}
    models |= {(name,): registry.fusers.load(name).Config for name in fusers}
    keys, merged = Keys(models, run_keys.sections), merge([_defaults_of(models), *layers])
    values = nest(merged)
    options = check(keys, OPTIONS, values["dataset"].get("options", {}), merged)
    checked: dict[str, Any] = {name: check(keys, (name,), values.get(name, {}), merged) for name in (*order, *fusers)}

    complete = _completed(config, options, checked)
    flat = leaves({**complete.model_dump(exclude={"settings"}), **complete.settings})
    found = Resolved(
        config=complete,
        order=order,
        method_configs={name: checked[name] for name in order},
        fuser_configs={name: checked[name] for name in fusers},
        dataset_options=options,
        sources={".".join(path): source_of(path, merged) for path, _ in flat},
        notes=[],
    )
    return found, merged


def _with_all_methods(layer: Layer) -> Layer:
    """The layer with ``all`` among its methods replaced by those that take part in it (``MethodSpec.ensemble``)."""
    methods = layer.values.get("methods")
    if not isinstance(methods, list | tuple) or ALL not in methods:
        return layer
    registry = plugins().methods
    everyone = [registry.name_of(entry) for entry in registry.entries() if entry.spec.ensemble]
    if not everyone:
        raise UsageError(
            f"'{ALL}': no installed method takes part in it. Name the methods: {', '.join(registry.names())}."
        )
    named = [one for name in methods for one in (everyone if name == ALL else [name])]
    return Layer(layer.source, {**layer.values, "methods": list(dict.fromkeys(named))})


def _chosen(user: list[Layer], keys: Keys) -> RunConfig:
    """What the user says of the run itself, before any recipe: enough to know which recipes there are."""
    asked = merge(user)
    if ("methods",) not in asked or not asked["methods",].value:
        if not (known := plugins().methods.names()):
            raise UsageError(none_installed("method"))
        raise UsageError(
            "no method chosen: give --method NAME, or methods = [...] in a configuration file. "
            f"Known: {', '.join(known)}."
        )
    return _check_run(keys, asked)


def _own_fusers(methods: Sequence[str]) -> list[Layer]:
    """What the specs of the methods say of fusers (``MethodSpec.fusers``)."""
    specs = [plugins().methods.get(name).spec for name in methods]
    return [Layer(f"method '{spec.name}'", {"fusers": list(spec.fusers)}) for spec in specs if spec.fusers]


def _recipe_dataset(chosen: RunConfig) -> str:
    """The dataset whose recipes are taken, in the spelling of the run's own where it is that one."""
    own, registry = chosen.dataset.name, plugins().datasets
    if chosen.recipe is None or typed_name(registry, chosen.recipe) == typed_name(registry, own):
        return own
    return chosen.recipe


def _check_run(keys: Keys, merged: Merged) -> RunConfig:
    """The fields of the run alone; the sections are checked when it is known which classes they belong to."""
    fields = {key: value for key, value in nest(merged).items() if key in FIELDS}
    return check(keys, (), fields, merged)


def _about_the_chosen(recipes: list[Layer], user: list[Layer], dataset: str) -> list[Layer]:
    """All layers, without what they say of others: ``--backbone resnet18`` drops the widths of a recipe's resnet10.

    What a user says of the dataset or the backbone without naming one holds for whichever is chosen.
    """
    usual = BackboneConfig().name
    named = merge([*recipes, *user]).get(("backbone", "name"))
    backbone = named.value if named else usual
    recipes = only_about(only_about(recipes, "dataset", dataset, unnamed=dataset), "backbone", backbone, unnamed=usual)
    user = only_about(only_about(user, "dataset", dataset, unnamed=dataset), "backbone", backbone, unnamed=backbone)
    return [*recipes, *user]


def _defaults_of(models: Mapping[KeyPath, type[BaseModel]]) -> Layer:
    """Defaults that are models themselves, spelt out: pydantic drops them whole when one of their keys is given.

    With ``optim = OptimConfig(epochs=60)`` in a Config, a given ``optim.lr`` must leave the epochs as they are.
    """
    values: dict[str, Any] = {}
    for path, model in models.items():
        table = values
        for part in path:
            table = table.setdefault(part, {})
        defaults = vars(model.model_construct())
        table |= {name: value.model_dump() for name, value in defaults.items() if isinstance(value, BaseModel)}
    return Layer(DEFAULT, values)


def _completed(config: RunConfig, options: BaseModel, sections: Mapping[str, BaseModel]) -> RunConfig:
    """The configuration with every default spelt out and every name in its one spelling."""
    registry, values = plugins(), config.model_dump(mode="json")
    values["methods"] = [typed_name(registry.methods, name) for name in config.methods]
    values["fusers"] = [typed_name(registry.fusers, name) for name in config.fusers]
    values["dataset"]["name"] = typed_name(registry.datasets, config.dataset.name)
    values["dataset"]["options"] = options.model_dump(mode="json")
    values["settings"] = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return RunConfig.model_validate(values)


def _refuse_unknown_sections(layers: list[Layer], keys: Keys) -> None:
    for layer in layers:
        for name, value in layer.values.items():
            if name not in FIELDS and name not in keys.sections:
                key = f"{_first_key(name, value)} (from {layer.source})"
                if name == "plugins":
                    raise UsageError(f"{key}: give 'plugins' with --plugin FILE, before the command.")
                raise UsageError(
                    f"{key}: '{name}' is neither a setting of the run nor a known method or fuser."
                    f"{keys.suggestion((name,))} Hyperparameters are written as METHOD.KEY."
                )


def _unused_sections(user: list[Layer], used: set[str]) -> list[str]:
    """Notes on a file's sections for methods and fusers that do not take part. On the command line that is an error."""
    notes = []
    for layer in user:
        for name in sorted(layer.values.keys() - FIELDS - used):
            if layer.source == "--set":
                key = _first_key(name, layer.values[name])
                raise UsageError(
                    f"{key} (from --set): '{name}' takes no part in this run, only {', '.join(sorted(used))}."
                )
            notes.append(f"section '{name}' of {layer.source} is not used: it takes no part in this run.")
    return notes


def _first_key(name: str, value: Any) -> str:
    path, value = next(iter(leaves({name: value})), ((name,), None))
    return ".".join(path) if value is None else f"{'.'.join(path)} = {value!r}"


def _refuse_shared_names(names: list[str]) -> None:
    """Raise PluginError for a method and a fuser of one name, or one named like a field: a section cannot serve two."""
    for name in names:
        if name in RunConfig.model_fields or names.count(name) > 1:
            raise PluginError(
                f"'{name}' names two things that are configured under one key; rename the method or fuser."
            )
