"""Everything that is registered keeps the promises of the public contract suite; what is added is tested by itself.

Of the datasets those that can be had offline are tried, drawn small; the others say what is missing.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from data.benchmark_trees import draw
from examples.table import TRANSFORMER
from pictures import tree
from tiny import OPTIONS, settings

from ltbench.errors import DataError
from ltbench.registry.manager import plugins
from ltbench.testing import contracts_of

REGISTERED = {kind: getattr(plugins(), f"{kind}s").names() for kind in ("method", "fuser", "dataset")}

SMALLER = {
    "gan": settings(gan={"generative": {"hidden": 16, "steps": 2, "batch_size": 16, "critic_steps": 1}})[1::2],
    "joint": settings(joint={"l2": 0.01})[1::2],
    "lift": settings(backbone={"name": f'"{TRANSFORMER["name"]}"', "kwargs": TRANSFORMER["kwargs"]})[1::2],
}
"""What would take long by default, or is for other networks than the suite's -> settings."""


def drawn(name: str) -> Callable[[Path], tuple[Path, list[str]]]:
    """Draws a benchmark; its folder, and where its lists are."""
    return lambda folder: (draw(name, folder), [f"dataset.options.lists={folder}"])


def folder_of_pictures(folder: Path) -> tuple[Path, list[str]]:
    for split, number in (("train", 9), ("val", 2), ("test", 3)):
        tree(folder / split, {"ape": number, "bee": number - 1})
    return folder, []


def small_glyphs(folder: Path) -> tuple[None, list[str]]:
    return None, settings(dataset={"options": OPTIONS})[1::2]


HERE: dict[str, Callable[[Path], tuple[Path | None, list[str]]]] = {
    "glyphs-lt": small_glyphs,
    "folder": folder_of_pictures,
    "imagenet-lt": drawn("imagenet-lt"),
    "places-lt": drawn("places-lt"),
}
"""Dataset -> puts it into a folder; its root and settings."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ("method", "fuser") for name in REGISTERED[kind]])
def test_it_keeps_its_promises(kind: str, name: str) -> None:
    (contract,) = [found for found in contracts_of(name, overrides=SMALLER.get(name, ())) if found.kind == kind]
    contract.check()


@pytest.mark.parametrize("name", REGISTERED["dataset"])
def test_a_dataset_keeps_its_promises_or_says_what_is_missing(name: str, tmp_path: Path, own_cache: Path) -> None:
    if name in HERE:
        root, overrides = HERE[name](tmp_path / "images")
        (contract,) = contracts_of(name, overrides=overrides, data_root=root)
        contract.check()
    else:
        (contract,) = contracts_of(name)
        with pytest.raises(DataError, match=name):
            contract.check()


def test_all_kinds_are_here() -> None:
    assert {"baseline", "experts", "crt"} <= set(REGISTERED["method"])
    assert {"joint", "kl"} <= set(REGISTERED["fuser"])
    assert set(HERE) <= set(REGISTERED["dataset"])
