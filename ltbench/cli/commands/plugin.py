"""``ltbench plugin``: start a plugin, or run the contract suite on one."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import Group

if TYPE_CHECKING:
    from ltbench.registry.lookup import PluginRecord
    from ltbench.registry.manager import Plugins

FILES = {
    "pyproject.toml.jinja": "pyproject.toml",
    "__init__.py.jinja": "{package}/__init__.py",
    "method.py.jinja": "{package}/method.py",
    "test_method.py.jinja": "tests/test_{module}.py",
}
"""Template in ``ltbench/cli/skeleton`` -> where it goes."""


@click.group("plugin", cls=Group)
def command() -> None:
    """Start a plugin, or test one."""


@command.command("new")
@click.argument("name")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=".", help="Where to put the folder."
)
def new(name: str, directory: Path) -> None:
    """Write a package with a method of that name: a subclass of the baseline with another loss, and its test.

    NAME is what 'ltbench run --method' will take: lower case letters, digits, '-' and '_'.
    """
    from jinja2 import Environment

    from ltbench.common.files import write_text
    from ltbench.errors import UsageError

    if problem := _unfit(name):
        raise UsageError(f"'{name}' cannot name a plugin: {problem}.")
    folder = directory / name
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name or --directory.")
    module, class_name = _module(name), _class_name(name)
    values = {
        "name": name,
        "module": module,
        "package": f"ltbench_{module}",
        "distribution": f"ltbench-{name}",
        "class_name": class_name,
    }
    environment = Environment(keep_trailing_newline=True)
    for template, place in FILES.items():
        target = folder / place.format_map(values)
        text = (files("ltbench.cli") / "skeleton" / template).read_text(encoding="utf-8")
        write_text(target, environment.from_string(text).render(values))
        click.echo(f"wrote {target}")
    click.echo(
        f"\nNext:\n  pip install -e {folder}\n  ltbench plugin test ltbench-{name}\n  ltbench run --method {name}"
    )


def _unfit(name: str) -> str:
    """Why a plugin cannot have that name: Python, ltbench or another package needs it; empty where it can."""
    from ltbench.plugin import ALL
    from ltbench.registry.manager import plugins
    from ltbench.settings.recipes import FIELDS

    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        return "use lower case letters, digits, '-' and '_', and begin with a letter"
    if keyword.iskeyword(name) or keyword.iskeyword(_class_name(name)):
        return "Python has it for a keyword"
    if name in {*plugins().methods.names(), *plugins().fusers.names(), *plugins().datasets.names()}:
        return "something of that name is installed; see 'ltbench show'"
    if name == ALL or name in FIELDS or name == "none":
        return "it means something else in 'ltbench run'"
    if find_spec(_module(name)) or find_spec(f"ltbench_{_module(name)}"):
        return "there is a Python module of that name"
    return ""


def _module(name: str) -> str:
    return name.replace("-", "_")


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.split("[-_]+", name))


@command.command("test")
@click.argument("target", metavar="DISTRIBUTION_OR_FILE")
@click.pass_context
def test(ctx: click.Context, target: str) -> None:
    """Run the contract suite on everything that an installed distribution, or a Python file, registers.

    Exit code 3 when something fails.
    """
    from ltbench.errors import PluginError, UsageError
    from ltbench.registry.manager import examine_plugins, use_plugin_files

    if Path(target).is_file():
        use_plugin_files([Path(target)])
    plugins = examine_plugins()
    chosen = [record for record in plugins.records if _is_meant(record, target)]
    if not chosen:
        known = ", ".join(sorted({record.distribution for record in plugins.records})) or "none"
        raise UsageError(f"'{target}' is neither a file nor an installed distribution with a plugin (known: {known}).")
    failed = 0
    for name, problem in (outcome for record in chosen for outcome in outcomes(plugins, record)):
        click.secho("FAILED  " if problem else "ok      ", fg="red" if problem else "green", nl=False)
        click.echo(f"{name}: {problem}" if problem else name)
        failed += bool(problem)
    if failed:
        ctx.exit(PluginError.exit_code)


def _is_meant(record: PluginRecord, target: str) -> bool:
    from ltbench.registry.lookup import normalized

    if Path(target).is_file():
        return record.source == str(Path(target).resolve())
    return normalized(record.distribution) == normalized(target)


def outcomes(plugins: Plugins, record: PluginRecord) -> Iterator[tuple[str, str]]:
    """(what was checked, what is wrong with it or nothing), for a plugin and everything it registers."""
    from ltbench.errors import LtbenchError
    from ltbench.registry.lookup import one_line

    yield str(record), "" if record.usable else f"{record.status}: {record.error}"
    for registry in (plugins.methods, plugins.fusers, plugins.datasets):
        for entry in registry.entries():
            if entry.plugin is record:
                try:
                    _check_contract(registry.kind, registry.load(entry.qualified))
                except (AssertionError, LtbenchError) as error:
                    problem = str(error)
                except Exception as error:
                    problem = one_line(error)
                else:
                    problem = ""
                yield f"{registry.kind} '{entry.spec.name}'", problem


def _check_contract(kind: str, cls: type[Any]) -> None:
    """Raise AssertionError unless the class keeps its kind's contract; a dataset's is to be importable."""
    from ltbench import testing

    if kind == "method":
        testing.check_method(cls)
    elif kind == "fuser":
        testing.check_fuser(cls)
