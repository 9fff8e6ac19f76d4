"""Names: what they lead to, and what is said when they lead nowhere."""

from typing import Any

import pytest

from ltbench.errors import PluginError, UsageError
from ltbench.fuser import Fuser
from ltbench.plugin import FuserSpec
from ltbench.registry.lookup import PluginRecord, Registry


class Mean(Fuser):
    def fuse(self, members: Any) -> Any:
        return members


class Unfinished(Fuser):
    pass


class LooseConfig(Fuser):
    class Config:
        weight = 1.0

    def fuse(self, members: Any) -> Any:
        return members


class Outer:
    class Inner(Mean):
        pass


def registry(*entries: tuple[str, str, str], lost: tuple[PluginRecord, ...] = ()) -> Registry[FuserSpec]:
    """Fusers given as (name, class, distribution)."""
    records = {distribution: PluginRecord("p", distribution, "1.0", "p") for _, _, distribution in entries}
    made: Registry[FuserSpec] = Registry("fuser", [*records.values(), *lost])
    for name, cls, distribution in entries:
        target = cls if ":" in cls else f"{__name__}:{cls}"
        made.add(FuserSpec(name, target=target), records[distribution])
    return made


def test_a_name_with_one_provider_is_bare() -> None:
    made = registry(("mean", "Mean", "A_Dist"), ("soft", "Mean", "b"))
    assert made.names() == ["mean", "soft"]
    assert made.get("mean").plugin.distribution == "A_Dist"
    assert made.get("a-dist:mean") is made.get("mean")
    assert made.load("mean") is Mean


def test_a_name_with_two_providers_is_qualified() -> None:
    made = registry(("mean", "Mean", "a"), ("soft", "Mean", "a"), ("mean", "Outer.Inner", "b"))
    assert made.names() == ["a:mean", "soft", "b:mean"]
    assert made.load("b:mean") is Outer.Inner
    with pytest.raises(PluginError, match=r"provided by 2 plugins.*'a:mean' \(a 1.0\), 'b:mean' \(b 1.0\)"):
        made.get("mean")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("maen", "unknown fuser 'maen'. Did you mean 'mean'\\? Known: mean, soft."),
        ("zzz", "unknown fuser 'zzz'. Known: mean, soft."),
        ("b:mean", "unknown fuser 'b:mean'. Did you mean 'mean'\\?"),
    ],
)
def test_an_unknown_name_is_a_usage_error(name: str, message: str) -> None:
    made = registry(("mean", "Mean", "a"), ("soft", "Mean", "a"))
    with pytest.raises(UsageError, match=message):
        made.get(name)


def test_where_nothing_is_installed_it_says_how_that_is_done() -> None:
    with pytest.raises(UsageError, match=r"no fuser is installed. .*pip install .*--plugin FILE"):
        registry().get("mean")


@pytest.mark.parametrize("name", ["lost-dist:mean", "lost-dist", "lost_fuser"])
def test_a_name_that_speaks_of_a_lost_plugin_is_its_fault(name: str) -> None:
    lost = PluginRecord("lost_fuser", "Lost.Dist", "2.0", "lost", "broken", "ImportError: no torch")
    made = registry(("mean", "Mean", "a"), lost=(lost,))
    with pytest.raises(
        PluginError, match=r"needs plugin 'lost_fuser' \(Lost.Dist 2.0\), which is broken: ImportError: no torch\. "
    ):
        made.get(name)
    assert made.get("mean").spec.name == "mean"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere_at_all:Mean", "importing nowhere_at_all:Mean failed with ModuleNotFoundError"),
        ("Missing", "failed with AttributeError: .*'Missing'"),
        ("registry", "is no subclass of ltbench.fuser.Fuser"),
        ("Unfinished", "does not define fuse"),
        ("LooseConfig", "has a Config that is no subclass of ltbench.fuser.FuserConfig"),
    ],
)
def test_a_class_that_cannot_serve_is_a_plugin_error(target: str, reason: str) -> None:
    made = registry(("mine", target, "a"))
    with pytest.raises(
        PluginError, match=f"^fuser 'mine' of plugin 'p' \\(a 1.0\\) cannot be used: .*{reason}"
    ) as caught:
        made.load("mine")
    assert "\n" not in str(caught.value)
