"""What ``ltbench plugin new`` writes: a package of one of several kinds, from templates in ``ltbench/cli/skeleton``."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Attributes:
        what: it is, in a line.
        run: the arguments of 'ltbench run' that use it.
        module: template of the class's module, and its name in the package.
        data: whether a sample of images comes along, and a recipe for them.
    """

    what: str
    run: str
    module: str
    data: bool = False


KINDS = {
    "loss": Kind("The baseline with another loss.", "--method {name}", "loss"),
    "method": Kind(
        "A method from scratch: build, fit, and an objective that knows the epoch.", "--method {name}", "method"
    ),
    "second-stage": Kind(
        "A new classifier on the features of the trained baseline.", "--method {name}", "second_stage"
    ),
    "fuser": Kind(
        "Members' logits in, one posterior out; learns from validation.", "--method experts --fuser {name}", "fuser"
    ),
    "dataset": Kind(
        "Images in files of an own format, with a recipe.", "--dataset {name} --method baseline", "dataset", data=True
    ),
}

COMMON = {
    "pyproject.toml.jinja": "pyproject.toml",
    "test_contract.py.jinja": "tests/test_contract.py",
}
"""Template -> where it goes, for every kind."""


def write_skeleton(name: str, kind: str, folder: Path) -> list[Path]:
    """Write a package of that kind into ``folder``, which must not be there yet; the files written.

    Raises:
        UsageError: a name that no plugin can have, or the folder exists.
    """
    from jinja2 import Environment

    from ltbench.common.files import write_text
    from ltbench.errors import UsageError

    if problem := unfit(name):
        raise UsageError(f"'{name}' cannot name a plugin: {problem}.")
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name or --directory.")
    about, package = KINDS[kind], f"ltbench_{_module(name)}"
    values = {
        "name": name,
        "kind": kind,
        "package": package,
        "distribution": f"ltbench-{name}",
        "class_name": _class_name(name),
        "module": about.module,
        "data": about.data,
    }
    places = {
        **COMMON,
        f"hooks_{about.module}.py.jinja": f"{package}/__init__.py",
        f"{about.module}.py.jinja": f"{package}/{about.module}.py",
        f"test_{about.module}.py.jinja": f"tests/test_{about.module}.py",
    }
    environment = Environment(keep_trailing_newline=True, trim_blocks=True)
    source = files("ltbench.cli") / "skeleton"
    texts = {
        folder / place: environment.from_string((source / template).read_text(encoding="utf-8")).render(values)
        for template, place in places.items()
    }
    if about.data:
        from ltbench.cli.drawn_sample import drawn_sample

        recipe = (source / "recipe.toml.jinja").read_text(encoding="utf-8")
        texts[folder / package / "recipes" / "baseline.toml"] = environment.from_string(recipe).render(values)
        texts |= {folder / package / "sample" / file: text for file, text in drawn_sample().items()}
    for path, text in texts.items():
        write_text(path, text)
    return [*texts]


def unfit(name: str) -> str:
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
