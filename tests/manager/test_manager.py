"""One plugin's failure stays its own, and says what it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import PluginError, UsageError
from ltbench.plugin import Check, FuserSpec, MethodSpec, hookimpl
from ltbench.registry import manager
from ltbench.registry.discovery import Candidate
from ltbench.registry.manager import Plugins, plugins, use_plugin_files

from .modules import candidate, having, registering

Load = Callable[..., Plugins]

SOUND = MethodSpec("sound", target="sound:Sound")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Makes these candidates all that is installed."""

    def load(*candidates: Candidate, files: tuple[Path, ...] = ()) -> Plugins:
        monkeypatch.setattr(manager, "from_entry_points", lambda: list(candidates))
        monkeypatch.setattr(manager, "_loaded", None)
        monkeypatch.setattr(manager, "_files", files)
        return plugins()

    return load


def raising(error: BaseException) -> Callable[..., Any]:
    def hook(**_: Any) -> None:
        raise error

    return hook


@hookimpl
def takes_too_much(cli: Any, shell: Any) -> None: ...


@hookimpl
def yields_a_string() -> Iterator[Any]:
    yield "mine"


@hookimpl
def yields_twice() -> Iterator[MethodSpec]:
    yield MethodSpec("twin", target="a:A")
    yield MethodSpec("twin", target="a:B")


@hookimpl
def yields_a_bad_name() -> Iterator[MethodSpec]:
    yield MethodSpec("Bad Name", target="a:A")


@hookimpl
def fails_midway() -> Iterator[MethodSpec]:
    yield MethodSpec("half", target="a:A")
    raise RuntimeError("out of\nluck")


@hookimpl
def harmless() -> None: ...


BROKEN = {
    "an import that fails": (candidate(raising(ImportError("no such thing"))), "ImportError: no such thing"),
    "an import that ends the program": (candidate(raising(SystemExit(1))), "SystemExit: 1"),
    "a hook that fails midway": (having(ltbench_methods=fails_midway), "RuntimeError: out of luck"),
    "a hook with a parameter too many": (having(ltbench_commands=takes_too_much), "shell"),
    "a hook that does not exist": (
        having(ltbench_metods=harmless),
        "there is no hook 'ltbench_metods'. Did you mean 'ltbench_methods'?",
    ),
    "a forgotten hookimpl": (having(ltbench_methods=lambda: []), "ltbench_methods is not marked with @hookimpl"),
    "no hook at all": (having(), "implements no hook"),
    "something that is no spec": (having(ltbench_methods=yields_a_string), "must yield MethodSpec records, got 'mine'"),
    "a fuser among the methods": (
        having(ltbench_methods=hookimpl(lambda: [FuserSpec("f", target="a:A")])),
        "must yield MethodSpec records",
    ),
    "a name twice": (having(ltbench_methods=yields_twice), "ltbench_methods yields 'twin' twice"),
    "a malformed name": (having(ltbench_methods=yields_a_bad_name), "ValueError: method name 'Bad Name'"),
}


@pytest.mark.parametrize(("broken", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_recorded_and_stops_nobody(
    load: Load, capsys: pytest.CaptureFixture[str], broken: Candidate, reason: str
) -> None:
    found = load(broken, registering(SOUND, distribution="other"))
    record = found.records[0]
    assert record.status == "broken"
    assert reason in record.error
    assert "\n" not in record.error
    assert found.methods.names() == ["sound"]
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert found.call("ltbench_commands", cli=None) == []


@pytest.mark.parametrize("status", ["broken", "incompatible"])
def test_strict_refuses_plugins_that_cannot_be_used(load: Load, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setenv("LTBENCH_STRICT_PLUGINS", "1")
    bad = having() if status == "broken" else registering(SOUND, ltbench_api_version=999)
    with pytest.raises(PluginError, match=f"plugin 'plugin' \\(dist 1.0\\) is {status}"):
        load(bad)
    monkeypatch.setenv("LTBENCH_STRICT_PLUGINS", "0")
    assert load(bad).records[0].status == status


def test_names_of_a_plugin_that_broke_midway_are_blamed_on_it(load: Load) -> None:
    found = load(having(ltbench_methods=fails_midway), registering(SOUND, distribution="other"))
    with pytest.raises(
        PluginError, match=r"method 'half' needs plugin 'plugin' \(dist 1.0\), which is broken: RuntimeError"
    ):
        found.methods.get("half")
    with pytest.raises(
        UsageError, match=r"unknown method 'soud'. Did you mean 'sound'.* Not loaded: plugin of dist 1.0"
    ):
        found.methods.get("soud")


def test_the_incompatible_are_not_asked(load: Load) -> None:
    found = load(having(ltbench_methods=hookimpl(raising(AssertionError("asked"))), ltbench_api_version=0))
    assert found.records[0].status == "incompatible"
    assert "version 0" in found.records[0].error


def test_a_plugin_may_name_the_version_it_needs(load: Load) -> None:
    assert load(registering(SOUND, ltbench_api_version=2)).methods.names() == ["sound"]


def test_one_distribution_registers_a_name_once(load: Load) -> None:
    found = load(registering(SOUND, name="first"), registering(SOUND, name="second"))
    assert [record.status for record in found.records] == ["ok", "broken"]
    assert "method 'sound' is already registered by plugin 'first'" in found.records[1].error


def test_one_module_is_registered_once(load: Load) -> None:
    shared = registering(SOUND).load()
    found = load(candidate(lambda: shared), candidate(lambda: shared, distribution="copy"))
    assert [record.status for record in found.records] == ["ok", "broken"]
    assert found.records[1].error == "copy.plugin is already registered by another plugin"
    assert found.methods.names() == ["sound"]


def test_a_method_and_a_fuser_may_share_a_name(load: Load) -> None:
    found = load(registering(SOUND, FuserSpec("sound", target="a:A")))
    assert (found.methods.names(), found.fusers.names()) == (["sound"], ["sound"])
    assert found.records[0].status == "ok"


@pytest.mark.parametrize("disabled", ["Dist", "plugin", " other , dist:plugin "])
def test_disabled_plugins_are_not_imported(load: Load, monkeypatch: pytest.MonkeyPatch, disabled: str) -> None:
    monkeypatch.setenv("LTBENCH_DISABLE_PLUGINS", disabled)
    found = load(candidate(raising(AssertionError("imported"))))
    assert found.records[0].status == "disabled"
    with pytest.raises(PluginError, match="disabled"):
        found.methods.get("dist:anything")


def test_disabling_one_entry_point_leaves_the_others(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_DISABLE_PLUGINS", "dist:first,other:second")
    found = load(registering(SOUND, name="first"), registering(MethodSpec("more", target="a:A"), name="second"))
    assert [record.status for record in found.records] == ["disabled", "ok"]


class TestCall:
    """Hooks that are called after start-up."""

    def test_a_failing_hook_is_recorded_and_the_others_are_called(
        self, load: Load, capsys: pytest.CaptureFixture[str]
    ) -> None:
        heard: list[Any] = []
        found = load(
            having(ltbench_before_run=hookimpl(lambda run: heard.append(("first", run))), distribution="a"),
            having(ltbench_before_run=hookimpl(raising(OSError("disk full"))), distribution="b"),
            having(ltbench_before_run=hookimpl(lambda run: heard.append(("third", run))), distribution="c"),
        )
        found.call("ltbench_before_run", run="R")
        found.call("ltbench_before_run", run="R")
        assert heard == [("first", "R"), ("third", "R")] * 2
        assert [record.status for record in found.records] == ["ok", "broken", "ok"]
        assert "disk full" in found.records[1].traceback
        (line,) = capsys.readouterr().err.splitlines()
        assert "ltbench_before_run failed: OSError: disk full" in line

    def test_strict_makes_a_failing_hook_an_error(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        found = load(having(ltbench_before_run=hookimpl(raising(OSError("disk full")))))
        monkeypatch.setenv("LTBENCH_STRICT_PLUGINS", "1")
        with pytest.raises(PluginError, match="disk full"):
            found.call("ltbench_before_run", run=None)

    def test_all_that_fails_is_kept(self, load: Load) -> None:
        fail = hookimpl(raising(OSError("disk full")))
        found = load(having(ltbench_before_run=fail, ltbench_after_record=hookimpl(raising(ValueError("odd")))))
        for _ in range(2):
            found.call("ltbench_before_run", run=None)
            found.call("ltbench_after_record", run=None, record=None)
        assert found.records[0].error == (
            "ltbench_before_run failed: OSError: disk full; ltbench_after_record failed: ValueError: odd"
        )

    def test_what_is_yielded_comes_in_one_list(self, load: Load) -> None:
        first, second, third = (Check(name, ok=True) for name in ("1", "2", "3"))
        found = load(
            having(ltbench_checks=hookimpl(lambda: iter([first, second])), distribution="a"),
            having(ltbench_checks=hookimpl(lambda: None), distribution="b"),
            having(ltbench_checks=hookimpl(lambda: [third]), distribution="c"),
        )
        assert found.call("ltbench_checks") == [first, second, third]

    def test_a_generator_that_fails_later_is_caught_too(self, load: Load) -> None:
        def checks() -> Iterator[Check]:
            yield Check("fine", ok=True)
            raise OSError("gone")

        found = load(having(ltbench_checks=hookimpl(checks)))
        assert found.call("ltbench_checks") == []
        assert "gone" in found.records[0].error


class TestFiles:
    """``--plugin FILE``."""

    def write(self, path: Path, body: str = "") -> Path:
        path.write_text(
            "from ltbench.plugin import MethodSpec, hookimpl\n"
            f"{body}\n"
            "@hookimpl\n"
            "def ltbench_methods():\n"
            f"    yield MethodSpec('local', target='{path.stem}:Local')\n"
            "from ltbench.method import Method\n"
            "class Local(Method):\n"
            "    def build(self, context): return []\n"
            "    def fit(self, context, members): pass\n"
        )
        return path

    def test_its_classes_are_found_by_the_files_name(self, load: Load, tmp_path: Path) -> None:
        found = load(files=(self.write(tmp_path / "a_local_plugin.py"),))
        assert found.methods.get("a_local_plugin.py:local").plugin.source == str(tmp_path / "a_local_plugin.py")
        assert found.methods.load("local").__name__ == "Local"

    def test_it_cannot_hide_another_module(self, load: Load, tmp_path: Path) -> None:
        found = load(files=(self.write(tmp_path / "statistics.py"),))
        assert "a module named 'statistics' exists already" in found.records[0].error

    @pytest.mark.parametrize("name", ["my-plugin.py", "plugin.txt"])
    def test_its_name_must_be_a_modules(self, load: Load, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert f"{name} is no name of a Python module" in load(files=(tmp_path / name,)).records[0].error

    def test_one_that_fails_is_blamed_by_its_name(self, load: Load, tmp_path: Path) -> None:
        found = load(files=(self.write(tmp_path / "a_failing_plugin.py", body="1 / 0"),))
        assert found.records[0].error == "ZeroDivisionError: division by zero"
        with pytest.raises(PluginError, match="division by zero"):
            found.methods.get("a_failing_plugin")

    def test_files_given_later_are_taken_too(self, load: Load, tmp_path: Path) -> None:
        load(registering(SOUND))
        use_plugin_files([self.write(tmp_path / "a_later_plugin.py")])
        assert plugins().methods.names() == ["sound", "local"]


def test_import_targets_marks_plugins_whose_classes_cannot_be_imported(load: Load) -> None:
    found = load(registering(SOUND, MethodSpec("path", target="pathlib:Path"), distribution="a"))
    found.import_targets()
    assert found.records[0].status == "broken"
    assert "No module named 'sound'" in found.records[0].error
    assert "pathlib:Path is no subclass of ltbench.method.Method" in found.records[0].error
    assert "ModuleNotFoundError" in found.records[0].traceback
