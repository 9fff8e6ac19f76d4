"""The zoo's table and page: from hand-made records, from the committed ones, and on the command line with tiny data."""

import json
from pathlib import Path
from typing import Any

import pytest
from results.records import record
from tiny import TINY

from ltbench.common.canonical import digest
from ltbench.registry.manager import plugins
from ltbench.report.scatter import Scatter, scatter_figure
from ltbench.reproduction import spec
from ltbench.reproduction.spec import Paper, RowSpec, chosen, zoo
from ltbench.reproduction.zoo.document import document
from ltbench.reproduction.zoo.page import page, sections
from ltbench.reproduction.zoo.paragraphs import paragraph, source
from ltbench.reproduction.zoo.plots import write_plot
from ltbench.reproduction.zoo.rows import boards_of, recipe_of
from ltbench.reproduction.zoo.text import below_control, board_grid, short, verdicts
from ltbench.reproduction.zoo.write import stale, write_page
from ltbench.results.record import Record, config_hash
from ltbench.results.schema import StageCost, StageInfo
from ltbench.results.store import load
from ltbench.settings.recipes import resolve

ROOT = Path(__file__).parents[2]

ROWS = {
    "baseline": RowSpec(label="Baseline", methods=("baseline",)),
    "baseline_joint": RowSpec(label="control", methods=("baseline",), fuser="joint"),
    "uniform": RowSpec(label="Uniform", methods=("uniform",), beats=("few", "all")),
    "crt": RowSpec(label="cRT", methods=("crt",), beats=("few", "all")),
    "lws": RowSpec(label="LWS", methods=("lws",), beats=("few",)),
    "mixup": RowSpec(label="mixup", methods=("mixup",), beats=("all",)),
}
SMALL = Paper(rows=ROWS, tables=(), figures=(), claims=(), controls=(), reference="baseline", control="baseline_joint")

FIRST = {"device": "cpu", "seconds": 100.0, "images": 6000, "features": 0, "extracted": 0, "learned": 5000}
FIRST |= {"parameters": 5000, "multiply_adds": 70_000}
SECOND = {"device": "cpu", "seconds": 7.5, "images": 0, "features": 900, "extracted": 1046, "learned": 40}
SECOND |= {"parameters": 5040, "multiply_adds": 71_000}


def measured(method: str, fuser: str, seed: int, shares: Any, **changes: Any) -> Record:
    """A record with the costs of its stages: of the baseline :data:`FIRST`, of another :data:`SECOND`."""
    names = list(dict.fromkeys(["baseline", method]))
    costs = {name: StageCost.model_validate(FIRST if name == "baseline" else SECOND) for name in names}
    stages = [
        StageInfo(method=name, key=digest([name, seed]), weights=digest([seed, name]), cost=costs[name])
        for name in names
    ]
    return record(method, fuser, accuracy=shares, seed=seed, **{"stages": stages, **changes})


@pytest.fixture
def rows() -> dict[str, list[Record]]:
    """Classes 0 and 1 are Many, 4 and 5 Few. cRT is worse on All than the baseline, and above it on Few."""
    shares: dict[tuple[str, str], Any] = {
        ("baseline", "none"): [0.9, 0.9, 0.4, 0.4, 0.1, 0.1],
        ("baseline", "joint"): [0.7, 0.7, 0.5, 0.5, 0.5, 0.5],
        ("uniform", "none"): [0.6, 0.6, 0.5, 0.5, 0.5, 0.5],
        ("crt", "none"): [0.4, 0.4, 0.3, 0.3, 0.5, 0.5],
    }
    made = {key: [measured(*key, seed, share) for seed in (0, 1)] for key, share in shares.items()}
    return dict(zip(ROWS, made.values(), strict=False))


@pytest.fixture
def made(rows: dict[str, list[Record]]) -> dict[str, Any]:
    return document(SMALL, [rows])


def test_every_method_that_stands_for_itself_has_a_row_and_a_paragraph() -> None:
    asked = zoo()
    controls = {name for each in plugins().methods.entries() for name in each.spec.controls}
    wanted = {each.spec.name for each in plugins().methods.entries() if each.plugin.distribution == "ltbench"}
    assert {row.methods[0] for row in asked.rows.values() if len(row.methods) == 1} == wanted - controls - set(
        asked.apart
    )
    for row in asked.rows.values():
        own = [plugins().methods.get(name).spec for name in row.methods]
        if any(each.partial for each in own) and len(own) == 1:
            assert row.fuser in own[0].fusers, "its natural one"
    assert {row for table in asked.tables for row in table.rows} == set(asked.rows)
    for name in sections(document(asked, [])):
        assert source(name)
        assert len(paragraph(name)) > 200, f"methods.md beside the plugin has a section on {name}"


def test_a_table_alone_or_the_zoo_alone() -> None:
    assert chosen(["zoo"]) == zoo()
    assert chosen(["table6"]) == spec.paper().select(["table6"])


def test_costs_of_training_are_of_all_stages_and_those_of_use_of_the_last(made: dict[str, Any]) -> None:
    (board,) = made["boards"]
    assert board["rows"]["baseline"]["cost"] == FIRST | {"device": "cpu"}
    assert board["rows"]["crt"]["cost"] == {
        "device": "cpu",
        "seconds": 107.5,
        "images": 6000,
        "features": 900,
        "extracted": 1046,
        "learned": 5040,
        "parameters": 5040,
        "multiply_adds": 71_000,
    }
    assert board["rows"]["baseline_joint"]["cost"] == board["rows"]["baseline"]["cost"]


def test_differences_are_to_the_reference_and_to_its_calibration(made: dict[str, Any]) -> None:
    """All by hand: (1.8 + 0.8 + 0.2) / 6 = 46.7, calibrated 56.7, uniform 53.3, cRT 40.0."""
    (board,) = made["boards"]
    found = board["rows"]["uniform"]
    assert found["accuracy"]["all"]["mean"] == pytest.approx(53.3333, abs=1e-3)
    assert found["to_reference"]["all"]["estimate"] == pytest.approx(6.6667, abs=1e-3)
    assert found["to_control"]["all"]["estimate"] == pytest.approx(-3.3333, abs=1e-3)
    assert board["rows"]["crt"]["to_reference"]["few"]["estimate"] == pytest.approx(40.0, abs=1e-3)
    assert board["rows"]["baseline"]["to_reference"] is None


def test_what_does_not_do_as_its_source_says_is_named_with_by_how_much(made: dict[str, Any]) -> None:
    (board,) = made["boards"]
    (sentence,) = verdicts(made, board)
    assert sentence.startswith("cRT is not above Baseline where its source has it above: All -6.7 [")
    assert sentence.endswith("points over 2 seeds.")
    assert list(verdicts(made, board, ["uniform"])) == []
    (below,) = below_control(made, board)
    assert below.startswith("Uniform (-3.3 [")
    text = page(made, "", {(0, kind): f"{kind}.png" for kind in ("cost", "folds")})
    assert text.count("cRT is not above Baseline where its source has it above: All -6.7 ") == 2, (
        "above and in its section"
    )


def test_a_row_without_a_record_is_not_measured_yet(made: dict[str, Any]) -> None:
    headers, lines = board_grid(made, made["boards"][0])
    (line,) = [line for line in lines if line[0] == "LWS"]
    assert line[1] == "not measured here yet"
    assert len(line) == len(headers)
    empty = document(zoo(), [])
    told = sum(map(len, sections(empty).values()))
    assert told == len(zoo().rows) - 1, "the ensemble of several methods has no section"
    assert page(empty, "", {}).count("not measured here yet") == told


def test_without_costs_the_clock_is_told(rows: dict[str, list[Record]]) -> None:
    rows["crt"] = [record("crt", "none", accuracy=0.5, seed=seed) for seed in (0, 1)]
    made = document(SMALL, [rows])
    _, lines = board_grid(made, made["boards"][0])
    (line,) = [line for line in lines if line[0] == "cRT"]
    assert "25 by the clock" in line, "two stages of 12.3 s"


def test_other_images_and_other_tracks_are_said(rows: dict[str, list[Record]]) -> None:
    from results.records import track

    mixed = StageCost.model_validate(FIRST)
    (stage,) = measured("baseline", "none", 0, 0.5).stages
    rows["mixup"] = [
        record(
            "mixup",
            "none",
            starts_from="mixup",
            stages=[stage.model_copy(update={"method": "mixup", "cost": mixed})],
            track=track(augmentation="shift=2, mixup=0.2"),
        )
    ]
    made = document(SMALL, [rows])
    assert made["boards"][0]["rows"]["mixup"]["otherwise"] == ["augmentation: shift=2, mixup=0.2"]
    assert made["boards"][0]["rows"]["crt"]["otherwise"] == []


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (10899, "10.9k"), (999_700, "1,000k"), (4_905_000, "4.91M")],
)
def test_numbers_have_three_digits(count: int, text: str) -> None:
    assert short(count) == text


@pytest.fixture(scope="module")
def committed() -> list[Record]:
    return load(ROOT / "results" / "glyphs-lt").records


def test_of_several_settings_the_recipes_are_taken(committed: list[Record]) -> None:
    board = next(rows for rows in boards_of(zoo(), committed) if "experts_joint" in rows)
    assert (
        len({found.config_hash for found in committed if (found.methods, found.fuser) == (("experts",), "joint")}) > 1
    )
    for name in ("baseline", "baseline_joint", "experts_joint", "prototype", "gan", "uniform"):
        recipe = recipe_of(zoo().rows[name], "glyphs-lt")
        assert recipe is not None
        assert {found.config_hash for found in board[name]} == {config_hash(recipe)}


def test_the_nearest_setting_stands_in_with_a_note(committed: list[Record]) -> None:
    recipe = recipe_of(zoo().rows["experts_joint"], "glyphs-lt")
    assert recipe is not None
    others = [found for found in committed if found.config_hash != config_hash(recipe)]
    (board,) = boards_of(zoo(), others)
    (made,) = document(zoo(), [board])["boards"]
    (said,) = made["rows"]["experts_joint"]["otherwise"]
    assert said.startswith(("experts.", "joint."))


def test_rows_that_differ_by_a_setting_are_told_apart(committed: list[Record]) -> None:
    """Both are baseline / logit-adjustment; which is which, the settings say, in whatever order they come."""
    calibrated = [found for found in committed if (found.methods, found.fuser) == (("baseline",), "joint")]
    records = [found for found in committed if (found.methods, found.fuser) == (("baseline",), "none")]
    for name in ("posthoc_val", "posthoc"):
        recipe = recipe_of(zoo().rows[name], "glyphs-lt")
        assert recipe is not None
        for found in calibrated:
            values = found.model_dump(mode="json") | {"fuser": "logit-adjustment"}
            values["config"] = recipe | {"seed": found.seed}
            records.append(Record.model_validate(values | {"config_hash": config_hash(values["config"])}))
    (board,) = boards_of(zoo(), records)
    for name, tau in (("posthoc_val", "val"), ("posthoc", 1.0)):
        assert {found.config["settings"]["logit-adjustment"]["tau"] for found in board[name]} == {tau}
        assert len(board[name]) == len(calibrated)


def test_a_page_that_is_not_what_the_records_give_is_stale(made: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "methods.md"
    files = write_page(made, path, "COMMAND")
    assert [file.name for file in files] == ["methods.md", "zoo-toy-lt-cost.png", "zoo-toy-lt-folds.png"]
    assert all(f"(methods/{file.name})" in path.read_text() for file in files[1:])
    assert stale(made, path, "COMMAND") == []
    assert stale(made, path, "ANOTHER") == [path]
    write_plot(Scatter({"one": (1.0, 2.0)}, "x", "y"), files[1])
    assert stale(made, path, "COMMAND") == [files[1]]
    files[2].write_text("no image")
    assert stale(made, path, "COMMAND") == files[1:]
    write_page(made, path, "COMMAND")
    made["boards"][0]["rows"]["crt"]["accuracy"]["all"]["mean"] += 1
    assert stale(made, path, "COMMAND") == files[:2]


def test_names_in_a_plot_cover_nothing_where_there_is_room() -> None:
    points = {f"name {number}": (1.0 + number % 3, 50.0 + number // 3) for number in range(9)}
    figure = scatter_figure(Scatter(points, "x", "y"))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 9
    assert not any(one.overlaps(other) for one in boxes for other in boxes if one is not other)


def test_the_committed_page_is_what_the_committed_records_give(ltb) -> None:
    done = ltb("reproduce", "zoo", "--page", ROOT / "docs" / "methods.md", "--results", ROOT / "results", "--check")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["zoo", "table6"], "zoo is a page of its own"),
        (["table6", "--page", "x.md"], "--page and --check are for 'ltbench reproduce zoo --page FILE'"),
        (["zoo", "--check"], "--page and --check are for"),
        (["zoo", "--page", "x.md", "--seeds", "0"], "--seeds: --page runs nothing"),
        (["zooo"], "Did you mean 'zoo'?"),
    ],
)
def test_what_cannot_be_is_refused(ltb, arguments: list[str], said: str) -> None:
    done = ltb("reproduce", *arguments)
    assert done.code == 2
    assert said in done.complaint


def test_the_zoo_runs_and_its_records_give_the_same_page(ltb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("baseline", "baseline_joint", "posthoc", "posthoc_val", "lws", "tau_norm")
    small = zoo().model_copy(update={"rows": {name: zoo().rows[name] for name in names}, "tables": ()})
    monkeypatch.setattr(spec, "zoo", lambda: small)
    out, kept = tmp_path / "out", tmp_path / "kept"
    done = ltb("reproduce", "zoo", *TINY, "--seeds", "0,1", "--out", out, "--results", kept)
    assert done.code == 0, done.err
    assert "Post-hoc adjustment, tau by val" in done.out
    answer = json.loads((out / "zoo.json").read_text())
    (board,) = answer["boards"]
    assert set(board["rows"]) == set(names)
    train = resolve(methods=["baseline"], overrides=TINY[1::2]).config.settings["baseline"]["optim"]["epochs"]
    (first, *_) = load(kept).records
    assert board["rows"]["lws"]["cost"]["images"] == train * first.dataset.train
    assert {path.name for path in out.rglob("*.*")} >= {
        "METHODS.md",
        "zoo.json",
        "zoo-glyphs-lt.csv",
        "zoo-glyphs-lt-cost.png",
    }

    done = ltb("reproduce", "zoo", "--page", tmp_path / "page.md", "--results", kept)
    assert done.code == 0, done.err
    again = document(small, boards_of(small, load(kept).records))
    found = {name: row["accuracy"] for name, row in again["boards"][0]["rows"].items()}
    assert found == {name: row["accuracy"] for name, row in board["rows"].items()}
    done = ltb("reproduce", "zoo", "--page", tmp_path / "page.md", "--results", kept, "--check")
    assert done.code == 0, done.err
    (tmp_path / "page.md").write_text("edited")
    done = ltb("reproduce", "zoo", "--page", tmp_path / "page.md", "--results", kept, "--check")
    assert done.code == 1
    assert "not what the records give" in done.complaint
