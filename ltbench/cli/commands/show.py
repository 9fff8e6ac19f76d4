"""``ltbench show``: everything about one method, fuser or dataset."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import Command, json_option

if TYPE_CHECKING:
    from ltbench.registry.lookup import Registered, Registry

EPILOG = """
Examples:

  ltbench show experts

  ltbench show joint --json
"""


@click.command("show", cls=Command, epilog=EPILOG)
@click.argument("name")
@json_option("Print it as JSON.")
def command(name: str, as_json: bool) -> None:
    """Show what a method, fuser or dataset is and every hyperparameter with its type, default and meaning.

    Set one with --set NAME.HYPERPARAMETER=VALUE, or in a table [NAME] of a TOML file; options of a dataset with --set
    dataset.options.OPTION=VALUE.
    """
    from ltbench.cli.output import print_json

    found = [describe(registry, entry) for registry, entry in find(name)]
    if as_json:
        print_json(found)
        return
    for about in found:
        print_description(about)


def find(name: str) -> list[tuple[Registry[Any], Registered[Any]]]:
    """Everything of that name: of any kind, from any plugin.

    Raises:
        UsageError: there is nothing.
        PluginError: a plugin that could not be loaded would have it.
    """
    from ltbench.errors import PluginError, UsageError, did_you_mean
    from ltbench.registry.lookup import none_installed
    from ltbench.registry.manager import plugins

    registries = (plugins().methods, plugins().fusers, plugins().datasets)
    found = [
        (registry, entry)
        for registry in registries
        for entry in registry.entries()
        if name in (entry.spec.name, entry.qualified)
    ]
    if found:
        return found
    for registry in registries:
        try:
            registry.get(name)
        except PluginError:
            raise
        except UsageError:
            continue
    known = [known for registry in registries for known in registry.names()]
    if not known:
        raise UsageError(none_installed("method, fuser or dataset"))
    raise UsageError(
        f"nothing is called '{name}'.{did_you_mean(name, known)} See 'ltbench list methods', fusers or datasets."
    )


def describe(registry: Registry[Any], entry: Registered[Any]) -> dict[str, Any]:
    """What there is to say, as plain values. Raises PluginError when the class cannot be imported."""
    from ltbench.data.base import Dataset
    from ltbench.settings.hyperparameters import hyperparameters
    from ltbench.settings.recipe_files import recipes_of

    cls = registry.load(entry.qualified)
    model = cls.Options if registry.kind == "dataset" else cls.Config
    about = {"kind": registry.kind, **asdict(entry.spec), "name": registry.name_of(entry)}
    about["provider"] = {
        "plugin": entry.plugin.name,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
    }
    if registry.kind == "method":
        about["recipe_sources"] = _recipe_sources(about["name"])
    if registry.kind == "dataset":
        about |= {
            "recipes_for": recipes_of(entry.spec),
            "suggests": cls.suggested_settings is not Dataset.suggested_settings,
        }
    about["hyperparameters"] = [asdict(parameter) for parameter in hyperparameters(model)]
    return about


def _recipe_sources(method: str) -> dict[str, list[str]]:
    """Dataset -> sources of the method's settings there, lowest first; empty where only its defaults are used."""
    from ltbench.registry.manager import plugins
    from ltbench.settings.recipe_files import recipe_layers

    datasets = plugins().datasets
    return {
        datasets.name_of(entry): [layer.source for layer in recipe_layers(entry.spec, [method])[0]]
        for entry in datasets.entries()
    }


def print_description(about: dict[str, Any]) -> None:
    """The facts as lines, the hyperparameters as a table."""
    from rich.padding import Padding
    from rich.text import Text

    from ltbench.cli.output import console, table

    screen = console()
    screen.print(Text.assemble((about["name"], "bold cyan"), f"  {about['kind']}"))
    if about["summary"]:
        screen.print(f"  {about['summary']}", soft_wrap=True)
    for label, value in _facts(about):
        if value:
            screen.print(Text.assemble((f"  {label:<13}", "dim"), value), soft_wrap=True)
    word = "option" if about["kind"] == "dataset" else "hyperparameter"
    parameters = about["hyperparameters"]
    if not parameters:
        screen.print(f"\n  It has no {word}s.\n")
        return
    rows = [(p["name"], p["type"], _default_text(p), p["meaning"]) for p in parameters]
    screen.print(Padding(table((word, "type", "default", "meaning"), rows), (0, 0, 0, 2)))
    if about["kind"] != "fuser":
        screen.print(
            "  Recipes stand above the defaults; 'ltbench run --recipe DATASET' takes another dataset's, 'ltbench run "
            "--dry-run' shows what applies.\n",
            style="dim",
            soft_wrap=True,
        )


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    sources = about.get("recipe_sources", {})
    recipes = [f"{dataset}: {', '.join(above) or 'none, its defaults are used'}" for dataset, above in sources.items()]
    provider = about["provider"]
    return [
        ("paper", about["paper"]),
        ("provided by", f"{provider['distribution']} {provider['version']}".rstrip()),
        ("class", about["target"]),
        ("starts from", ", ".join(about.get("requires", ()))),
        ("recipes", "; ".join(recipes)),
        ("recipes for", ", ".join(about.get("recipes_for", ()))),
        (
            "suggests",
            "settings, from what it finds in the images; recipes lie above them" if about.get("suggests") else "",
        ),
        ("controls", ", ".join(about.get("controls", ()))),
        ("reference", "trained and shown beside every run" if about.get("reference") else ""),
        ("control", "applied to every reference alone, too" if about.get("control") else ""),
        (
            "transductive",
            "may look at other samples: ranked in a track of its own" if about.get("transductive") else "",
        ),
    ]


def _default_text(parameter: dict[str, Any]) -> str:
    if parameter["required"]:
        return "must be given"
    value = parameter["default"]
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
