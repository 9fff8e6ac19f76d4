"""``ltbench doctor``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from manager.modules import having, registering

from ltbench.cli import invoke
from ltbench.plugin import Check, MethodSpec, hookimpl

pytestmark = pytest.mark.usefixtures("having_also")

Captured = pytest.CaptureFixture[str]


def findings(capsys: Captured, code: int) -> dict[str, Any]:
    assert invoke(["doctor", "--json"]) == code
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def by_name(checks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in checks}


def test_a_sound_installation(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / "file").open("wb") as file:
        file.truncate(2**29)  # sparse
    answer = findings(capsys, 0)
    versions, machine = by_name(answer["versions"]), by_name(answer["machine"])
    assert {"python", "torch", "timm", "accelerate"} <= set(versions)
    assert versions["torch"]["ok"]
    assert machine["device"]["detail"].split(",")[0] in ("cpu", "cuda", "mps")
    assert int(machine["cores"]["detail"]) >= 1
    assert machine["cache"] == {"name": "cache", "ok": True, "detail": f"{tmp_path / 'cache'}, writable, 0.50 GiB"}
    assert {plugin["status"] for plugin in answer["plugins"]} == {"ok"}


def test_an_unusable_cache_is_found(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    cache = by_name(findings(capsys, 0)["machine"])["cache"]
    assert not cache["ok"]
    assert "LTBENCH_CACHE" in cache["detail"]


def test_checks_of_plugins_are_asked(having_also: Callable[..., None], capsys: Captured) -> None:
    def checks() -> list[Any]:
        return [Check("word vectors", ok=False, detail="put them beside the data"), "not a check"]

    having_also(having(distribution="theirs", ltbench_checks=hookimpl(checks)))
    first, second = findings(capsys, 0)["checks"]
    assert first == {"name": "theirs: word vectors", "ok": False, "detail": "put them beside the data"}
    assert "must yield Check records" in second["detail"]
    assert invoke(["doctor"]) == 0
    assert "2 to look at: theirs: word vectors" in capsys.readouterr().out


def test_a_check_that_fails_breaks_its_plugin(having_also: Callable[..., None], capsys: Captured) -> None:
    def checks() -> list[Check]:
        raise OSError("disk on fire")

    having_also(having(distribution="theirs", ltbench_checks=hookimpl(checks)))
    (theirs,) = [plugin for plugin in findings(capsys, 3)["plugins"] if plugin["distribution"] == "theirs"]
    assert "disk on fire" in theirs["traceback"]


def test_a_class_that_cannot_be_imported_is_found(having_also: Callable[..., None], capsys: Captured) -> None:
    having_also(registering(MethodSpec("lost", target="nowhere_at_all:Lost"), distribution="theirs"))
    assert invoke(["doctor"]) == 3
    printed = capsys.readouterr().out
    assert "ModuleNotFoundError: No module named 'nowhere_at_all'" in printed
    assert "1 to look at: plugin 'plugin' (theirs 1.0)" in printed


def test_strict_does_not_keep_the_doctor_from_speaking(
    having_also: Callable[..., None], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checks() -> list[Check]:
        raise OSError("disk on fire")

    monkeypatch.setenv("LTBENCH_STRICT_PLUGINS", "1")
    having_also(having(distribution="theirs", ltbench_checks=hookimpl(checks)))
    statuses = {plugin["distribution"]: plugin["status"] for plugin in findings(capsys, 3)["plugins"]}
    assert statuses["theirs"] == "broken"
