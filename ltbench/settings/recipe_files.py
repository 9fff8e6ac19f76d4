"""Finds the recipes (``<dataset>/<method>.toml``) that a run starts from."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ltbench.errors import LtbenchError, PluginError, UsageError
from ltbench.plugin import DatasetSpec, MethodSpec
from ltbench.registry.lookup import Registry
from ltbench.registry.manager import plugins
from ltbench.settings.layers import Layer, read_toml


def typed_name(registry: Registry[Any], name: str) -> str:
    """The one spelling of a name: ``ltbench:experts`` is ``experts``, unless another plugin has an ``experts``, too."""
    return registry.name_of(registry.get(name))


def requirements(method: str) -> dict[str, str]:
    """What a method's spec requires -> that method's name; of several of one name its own distribution's is meant.

    Raises:
        UsageError, PluginError: as :meth:`ltbench.registry.lookup.Registry.get`.
    """
    return _meant(method, plugins().methods.get(method).spec.requires)


def _meant(method: str, names: Iterable[str]) -> dict[str, str]:
    """Names in the spec of ``method`` -> the methods that they stand for."""
    registry = plugins().methods
    distribution = registry.get(method).plugin.distribution
    own = {entry.spec.name: entry for entry in registry.entries() if entry.plugin.distribution == distribution}
    return {name: registry.name_of(own[name]) if name in own else typed_name(registry, name) for name in names}


def dependency_order(methods: Iterable[str]) -> list[str]:
    """The methods and all that they require, each after what it requires.

    Raises:
        UsageError: an unknown method.
        PluginError: methods that require each other.
    """
    registry = plugins().methods
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        name = typed_name(registry, name)
        if name in above:
            raise PluginError(f"methods that require each other: {' -> '.join((*above, name))}.")
        if name not in order:
            for required in requirements(name).values():
                visit(required, (*above, name))
            order.append(name)

    for method in methods:
        visit(method, ())
    return order


def controls_of(methods: Iterable[str]) -> dict[str, str]:
    """Control -> the method that it stands beside (``MethodSpec.controls``), for the controls of these methods."""
    registry = plugins().methods
    return {
        control: typed_name(registry, name)
        for name in methods
        for control in _meant(name, registry.get(name).spec.controls).values()
    }


def reference_methods() -> set[str]:
    """Methods that stand alone beside runs: those that say so, and those that some installed method starts from.

    A method that requires one that is not there is no concern of a run without it.
    """
    registry = plugins().methods
    found = {registry.name_of(entry) for entry in registry.entries() if entry.spec.reference}
    for name in registry.names():
        with suppress(LtbenchError):
            found |= set(requirements(name).values())
    return found


def control_fusers() -> list[str]:
    """Fusers that are applied to each reference of a run (``FuserSpec.control``)."""
    registry = plugins().fusers
    return [registry.name_of(entry) for entry in registry.entries() if entry.spec.control]


def companions_of(methods: Sequence[str], wanted: bool = True) -> tuple[dict[str, str], list[str]]:
    """What is trained beside these methods, each with the method whose settings hold for it, too; and notes.

    Controls of the methods (:func:`controls_of`), and references (``MethodSpec.reference``) that the methods do not start
    from. For these hold the settings of the stage that the first method starts from: they are trained as long as that.
    A reference that cannot be loaded is left out with a note. Nothing is beside them if it is not ``wanted``.
    """
    if not wanted:
        return {}, []
    registry, order = plugins().methods, dependency_order(methods)
    beside, notes = controls_of(methods), list[str]()
    for entry in registry.entries():
        name = registry.name_of(entry)
        if entry.spec.reference and name not in order:
            try:
                registry.load(name)
                dependency_order([name])
            except LtbenchError as error:
                notes.append(f"no reference '{name}' beside this run: {error}")
            else:
                beside.setdefault(name, order[0])
    return beside, notes


def layers_of_controls(layers: Sequence[Layer], controls: Mapping[str, str]) -> list[Layer]:
    """What the layers say of a method, said of its controls: they must differ from it in nothing else.

    Args:
        controls: control -> method, as :func:`companions_of` gives them.
    """
    found = []
    for layer in layers:
        sections = {control: layer.values.get(method) for control, method in controls.items()}
        known = {name: _known_to(name, section) for name, section in sections.items() if isinstance(section, dict)}
        if any(known.values()):
            found.append(Layer(layer.source, known))
    return found


def recipe_layers(
    dataset: DatasetSpec, order: Iterable[str], beside: Collection[str] = (), others: bool = False
) -> tuple[list[Layer], list[str]]:
    """The recipes of ``order``, as they lie on each other, and a note for each method that has none.

    A method's own recipe lies on that of the method that its spec names (``MethodSpec.recipe``), and so on.

    Args:
        beside: methods that are merely compared with: their recipes give them their own sections, and decide nothing else.
        others: the run has another dataset, which shall stand in the sources.
    """
    folder, layers, notes = _recipe_folder(dataset), [], []
    of = f" of {dataset.name}" if others else ""
    for name in order:
        method = plugins().methods.get(name).spec
        owners = _recipe_owners(folder, method)
        if not owners:
            notes.append(
                f"no recipe for method '{name}' on dataset '{dataset.name}': its defaults are used; --recipe DATASET takes "
                "another dataset's."
            )
        for owner in owners:
            file = folder / f"{owner.name}.toml"
            layer = read_toml(file, f"recipe {file.name}{of}")
            if "recipe" in layer.values:
                raise UsageError(
                    f"recipe = {layer.values['recipe']!r} (from {layer.source}): a recipe takes no other's place."
                )
            layer = layer if owner.name == name else _renamed(layer, owner.name, name, filtered=owner is not method)
            layers.append(Layer(layer.source, {name: layer.values.get(name, {})}) if name in beside else layer)
    return layers, notes


def recipes_of(dataset: DatasetSpec) -> list[str]:
    """The installed methods, sorted, that have a recipe of their own there."""
    folder = _recipe_folder(dataset)
    return [
        name for name in sorted(plugins().methods.names()) if (folder / f"{name.rpartition(':')[2]}.toml").is_file()
    ]


def _recipe_folder(dataset: DatasetSpec) -> Traversable:
    """The plugin's folder, or the shipped one: ``_configs`` in an installed wheel, ``configs`` in a checkout."""
    if dataset.recipes:
        package, _, folder = dataset.recipes.partition(":")
        try:
            return files(import_module(package)) / folder
        except ImportError as error:
            raise PluginError(
                f"dataset '{dataset.name}': its recipes {dataset.recipes!r} cannot be found: {error}."
            ) from error
    package_folder = Path(__file__).parents[1]
    shipped = package_folder / "_configs"
    return (shipped if shipped.is_dir() else package_folder.parent / "configs") / dataset.name.replace("-", "_")


def _recipe_owners(folder: Traversable, spec: MethodSpec) -> list[MethodSpec]:
    """The methods whose recipe files serve ``spec``, lowest first: that named by ``recipe``, and its in turn; then its own."""
    found: list[MethodSpec] = []
    seen: set[str] = set()
    while True:
        if (folder / f"{spec.name}.toml").is_file():
            found.insert(0, spec)
        seen.add(spec.name)
        if not spec.recipe or spec.recipe in seen:
            return found
        spec = plugins().methods.get(spec.recipe).spec


def _renamed(layer: Layer, owner: str, name: str, filtered: bool) -> Layer:
    """The owner's section as the section of ``name``; ``filtered``: only the keys that this one's Config has."""
    values = dict(layer.values)
    section = values.pop(owner, {})
    return Layer(layer.source, {**values, name: _known_to(name, section) if filtered else section})


def _known_to(method: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a section that the method's Config has."""
    known = plugins().methods.load(method).Config.model_fields
    return {key: value for key, value in section.items() if key in known}
