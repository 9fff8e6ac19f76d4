"""Every hook is documented, and its example is one that the manager takes."""

import inspect
import re
import textwrap
from types import ModuleType
from typing import Any

import pytest

from ltbench import hookspecs
from ltbench.plugin import Check, DatasetSpec, FuserSpec, MethodSpec, hookimpl
from ltbench.registry import manager
from ltbench.registry.manager import Plugins

from .modules import candidate

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("ltbench_")}


def example(hook: Any) -> ModuleType:
    """The example of a hook's docstring as a module; its functions are defined, not called."""
    _, _, code = inspect.cleandoc(hook.__doc__).partition("Example::\n")
    module = ModuleType(f"example of {hook.__name__}")
    specs = {cls.__name__: cls for cls in (Check, DatasetSpec, FuserSpec, MethodSpec)}
    vars(module).update(specs, hookimpl=hookimpl)
    exec(textwrap.dedent(code), vars(module))
    return module


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_a_hook_says_what_it_is_for_and_shows_an_example(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.match(r"[A-Z].*\.$", inspect.cleandoc(hook.__doc__).splitlines()[0])
    monkeypatch.setattr(manager, "from_entry_points", lambda: [candidate(lambda: example(hook))])
    (record,) = Plugins.load().records
    assert (record.status, record.error) == ("ok", "")


def test_the_hooks_are_those_of_the_design() -> None:
    assert set(HOOKS) == {
        "ltbench_methods",
        "ltbench_fusers",
        "ltbench_datasets",
        "ltbench_commands",
        "ltbench_checks",
        "ltbench_before_run",
        "ltbench_after_epoch",
        "ltbench_after_record",
        "ltbench_on_run_error",
    }
