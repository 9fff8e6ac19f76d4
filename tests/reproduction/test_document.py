"""The page, the tables and their footnotes, made of hand-made rows."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.reproduction.collect import Collected
from ltbench.reproduction.document import document
from ltbench.reproduction.markdown import page
from ltbench.reproduction.spec import paper
from ltbench.reproduction.write import write

from .rows import DATA, rows

SHARES = {
    "baseline": [0.9, 0.9, 0.4, 0.4, 0.0, 0.0],
    "baseline_joint": 0.6,
    "experts_kl": [0.3, 0.3, 0.3, 0.3, 0.8, 0.8],
    "experts_soft": [0.4, 0.4, 0.3, 0.3, 0.8, 0.8],
    "experts_selection": 0.4,
    "experts_stacking": 0.45,
    "experts_joint": [0.7, 0.7, 0.5, 0.5, 0.4, 0.4],
}
CONFUSION = [
    {"folds": ["many", "few"], "experts": ["e/many", "e/few"], "percent": [[80.0, 20.0], [40.0, 60.0]]},
    {"folds": ["many", "few"], "experts": ["e/many", "e/few"], "percent": [[60.0, 40.0], [20.0, 80.0]]},
]
HISTOGRAMS = [
    {"edges": [0.0, 0.5, 1.0], "counts": {"e/many": [1, 3], "e/few": [4, 0]}, "mean": {"e/many": 0.8, "e/few": 0.2},
     "samples": 4, "of": 5},
    {"edges": [0.0, 0.5, 1.0], "counts": {"e/many": [2, 10], "e/few": [12, 0]}, "mean": {"e/many": 0.4, "e/few": 0.2},
     "samples": 12, "of": 15},
]  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """Tables 6 and 7 and all figures; soft voting's temperature and whatever else is not in SHARES has no plugin."""
    selected = paper().select(["table6", "figure2", "figure3", "figure4", "figure5"])
    collected = Collected("toy-lt", "f" * 64, "resnet10", DATA, [0, 1], outcomes=rows(SHARES))
    collected.missing = {name: ["ghost"] for name in selected.rows if name not in SHARES}
    collected.analyses = {"figure4": dict(enumerate(CONFUSION)), "figure5": dict(enumerate(HISTOGRAMS))}
    return document(selected, collected)


@pytest.fixture(scope="module")
def written(made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(made, tmp_path_factory.mktemp("written"), "ltbench reproduce table6")


def line_of(text: str, start: str) -> list[str]:
    """The cells of the first line of a markdown table that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_measured_stands_beside_reported(made: dict[str, Any]) -> None:
    text = page(made, "ltbench reproduce table6")
    assert line_of(text.partition("## Tables 6 and 7")[2], "Experts, joint calibration") == [
        "Experts, joint calibration",
        "70.0 ± 0.0",
        "50.0 ± 0.0",
        "40.0 ± 0.0",
        "53.3 ± 0.0",
        "2",
        "43.2 / 34.3 / 18.9 / 35.7",
        "37.2 / 35.3 / 26.3 / 34.2",
    ]
    assert "| reported (ImageNet-LT) | reported (Places-LT) |" in text
    assert "Many to n: measured (toy-lt)." in text


def test_a_row_that_contradicts_itself_has_a_footnote(made: dict[str, Any]) -> None:
    text = page(made, "")
    assert line_of(text, "Experts, KL-div min.")[-2:] == [
        "25.3 / 20.5 / 39.1 / 21.9 [1]",
        "30.2 / 31.7 / 28.9 / 30.4",
    ]
    assert "[1] The paper: All disagrees with its folds: they imply 24.9." in text


def test_a_missing_plugin_is_said_and_costs_nothing_else(made: dict[str, Any]) -> None:
    assert line_of(page(made, ""), "Experts, temperature (Sec. 4.6)")[1:6] == ["not installed: ghost", *"–––", "0"]


def test_claims_and_controls_are_said_plainly(made: dict[str, Any]) -> None:
    text = page(made, "")
    assert line_of(text, "d")[2] == "holds"
    assert line_of(text, "c")[2] == "holds, not clearly"
    assert line_of(text, "f")[2] == "holds"
    assert line_of(text, "f")[3].startswith("All +10.0 [")
    assert (
        "- Experts, joint calibration is not above its best control (control: joint on Baseline alone): -6.7 ["
    ) in text


def test_the_files(written: list[Path]) -> None:
    assert all(path.is_file() for path in written)
    folder = written[0].parent
    names = {str(path.relative_to(folder)) for path in written}
    figures = {
        f"figures/figure{number}.{suffix}" for number in (2, 3, 4, 5) for suffix in ("png", "pdf", "json", "csv")
    }
    assert names >= {"REPRODUCTION.md", "reproduction.json", "tables/table6-7.csv", "tables/claims.csv", *figures}
    assert json.loads((folder / "reproduction.json").read_text())["dataset"]["name"] == "toy-lt"
    with (folder / "tables" / "table6-7.csv").open() as file:
        table = {row["row"]: row for row in csv.DictReader(file)}
    assert float(table["Experts, joint calibration"]["measured_few"]) == 40.0
    assert float(table["Experts, joint calibration"]["reported_Places-LT_few"]) == 26.3
    assert table["Experts, temperature (Sec. 4.6)"]["measured_all"] == ""


def test_the_same_measurements_give_the_same_bytes(made: dict[str, Any], written: list[Path], tmp_path: Path) -> None:
    again = write(made, tmp_path, "ltbench reproduce table6")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]


def test_seeds_of_a_figure_are_pooled(written: list[Path]) -> None:
    figures = written[0].parent / "figures"
    confusion = json.loads((figures / "figure4.json").read_text())
    assert confusion["percent"] == [[70.0, 30.0], [30.0, 70.0]]
    histograms = json.loads((figures / "figure5.json").read_text())
    assert histograms["counts"] == {"e/many": [3, 13], "e/few": [16, 0]}
    assert histograms["mean"]["e/many"] == pytest.approx((4 * 0.8 + 12 * 0.4) / 16)


def test_a_figure_that_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    selected = paper().select(["figure5"])
    collected = Collected("toy-lt", "f" * 64, "resnet10", DATA, [0], outcomes=rows({"experts_soft": 0.5}))
    collected.analyses = {"figure5": {0: "there are no experts."}}
    made = document(selected, collected)
    assert "Not drawn for every seed: there are no experts." in page(made, "")
    assert not [path for path in write(made, tmp_path, "") if path.suffix == ".png"]
