"""The boundary around plugin code: what passes it, what becomes the plugin's failure, and that it is named."""

import sys
from collections.abc import Callable

import pytest
import torch
from ltbench_fusers.soft_voting import SoftVoting

from ltbench.errors import DataError, Interrupted, LtbenchError, PluginError
from ltbench.plugin import FuserSpec, hookimpl
from ltbench.registry import manager
from ltbench.registry.manager import Plugins, plugin_code

from .modules import having, registering


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plugin, which registers the fuser ``mine``."""
    spec = FuserSpec("mine", target="ltbench_fusers.soft_voting:SoftVoting")
    monkeypatch.setattr(manager, "from_entry_points", lambda: [registering(spec, distribution="theirs")])
    monkeypatch.setattr(manager, "_loaded", None)
    monkeypatch.setattr(manager, "_files", ())


def raising(error: BaseException) -> None:
    with plugin_code("fuser", "mine", "fit"):
        raise error


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    "error", [KeyError("lost"), OSError("no"), EOFError(), AssertionError(), SystemExit(0), SystemExit()]
)
@pytest.mark.parametrize("who", ["mine", "theirs:mine", SoftVoting])
def test_what_a_plugin_raises_is_its_own_failure(error: BaseException, who: str | type) -> None:
    with (
        pytest.raises(
            PluginError, match=r"^fuser 'mine' of plugin 'plugin' \(theirs 1.0\) failed in fit with "
        ) as caught,
        plugin_code("fuser", who, "fit"),
    ):
        raise error
    assert type(error).__name__ in str(caught.value)
    assert caught.value.__cause__ is error
    assert caught.value.exit_code == 3


@pytest.mark.usefixtures("theirs")
def test_a_class_that_nobody_registered_is_called_by_its_name() -> None:
    message = "^fuser 'Tensor' failed in fit with ValueError: no"
    with pytest.raises(PluginError, match=message), plugin_code("fuser", torch.Tensor, "fit"):
        raise ValueError("no")


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("error", [DataError("bad"), PluginError("broken"), KeyboardInterrupt(), Interrupted(15)])
def test_errors_for_users_and_interrupts_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error)
    assert caught.value is error


@pytest.mark.usefixtures("theirs")
def test_a_lack_of_memory_is_nobody_s_failure() -> None:
    with pytest.raises(LtbenchError, match="^out of memory .*allocate") as caught, plugin_code("fuser", "mine", "fit"):
        torch.empty(2**50)
    assert caught.value.exit_code == 1
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")):
        with pytest.raises(LtbenchError, match=r"^out of memory.* compute\.gradient_accumulation"):
            raising(error)


def test_sys_exit_in_a_hook_is_a_failure_of_that_plugin_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = []

    @hookimpl
    def leaving(run: object) -> None:
        sys.exit(0)

    def hearing(name: str, hook: Callable[..., None]) -> object:
        return having(name, distribution=name, ltbench_before_run=hook)

    listening = hookimpl(lambda run: heard.append(run))
    monkeypatch.setattr(manager, "from_entry_points", lambda: [hearing("rude", leaving), hearing("polite", listening)])
    Plugins.load().call("ltbench_before_run", run="a run")
    assert heard == ["a run"]
    assert "plugin 'rude' (rude 1.0) is broken: ltbench_before_run failed: SystemExit: 0." in capsys.readouterr().err
