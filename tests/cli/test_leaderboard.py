"""``ltbench leaderboard``, ``compare`` and ``verify`` as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from results.records import baseline, record

from ltbench.cli.commands.compare import command as compare
from ltbench.cli.commands.leaderboard import command as leaderboard
from ltbench.cli.commands.verify import command as verify
from ltbench.errors import DataError, LtbenchError, UsageError
from ltbench.results.record import config_hash
from ltbench.results.store import load_results, save


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("LTBENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    for made in (baseline(), record(accuracy=0.6), baseline(data="other-lt")):
        save(made, tmp_path / "results")
    return tmp_path / "results"


def call(command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def succeed(command, *arguments: str) -> str:
    result = call(command, *arguments)
    assert result.exception is None, result.output
    return result.output


def fail(command, *arguments: str) -> LtbenchError:
    """The error that the command line turns into one line and an exit code."""
    error = call(command, *arguments).exception
    assert isinstance(error, LtbenchError)
    assert "\n" not in str(error)
    return error


def test_prints_the_rows_of_the_results_in_the_current_folder(results: Path) -> None:
    output = succeed(leaderboard)
    assert "experts / joint" in output
    assert "+20.0 [" in output
    assert "other-lt" in output
    assert "other-lt" not in succeed(leaderboard, "--dataset", "toy-lt")


def test_json_has_every_number(results: Path) -> None:
    content = json.loads(succeed(leaderboard, "--dataset", "toy-lt", "--folds", "oltr", "--json"))
    (board,) = content["boards"]
    assert board["protocol"]["fold_rule"] == "oltr"
    assert [row["methods"] for row in board["rows"]] == [["experts"], ["baseline"]]
    assert board["rows"][0]["accuracy"]["all"]["mean"] == pytest.approx(60)
    assert board["rows"][0]["delta"]["low"] > 10


def test_written_pages_are_up_to_date_until_a_record_changes(results: Path) -> None:
    assert fail(leaderboard, "--check").exit_code == 1
    succeed(leaderboard, "--write")
    assert (results / "toy-lt" / "LEADERBOARD.md").is_file()
    assert (results / "other-lt" / "LEADERBOARD.md").is_file()
    assert "up to date" in succeed(leaderboard, "--check")
    assert "up to date" in succeed(leaderboard, "--check", "--results", str(results))

    save(record("uniform", "none", accuracy=0.55), results)
    error = fail(leaderboard, "--check")
    assert error.exit_code == 1
    page = Path("results") / "toy-lt" / "LEADERBOARD.md"
    assert (
        str(error)
        == f"{page} is stale. Refresh it with 'ltbench leaderboard --results results --dataset toy-lt --write'."
    )
    assert "up to date" in succeed(leaderboard, "--check", "--dataset", "other-lt")


def test_an_edited_page_is_stale(results: Path) -> None:
    succeed(leaderboard, "--write")
    page = results / "toy-lt" / "LEADERBOARD.md"
    page.write_text(page.read_text().replace("60.0", "61.0"))
    assert "is stale" in str(fail(leaderboard, "--check"))


def test_a_page_without_records_is_stale(results: Path) -> None:
    succeed(leaderboard, "--write")
    for path in (results / "other-lt").glob("*.json"):
        path.unlink()
    assert "other-lt/LEADERBOARD.md is stale: no record" in str(fail(leaderboard, "--check")).replace("\\", "/")


def publish(results: Path, dataset: str) -> None:
    """One row that agrees with its folds, and one that does not."""
    accuracy = {"many": 90.0, "medium": 80.0, "few": 70.0, "all": 80.0}
    rows = [
        {"method": "Theirs", "accuracy": accuracy, "backbone": "ResNet-10", "reference": "A paper"},
        {"method": "Odd", "accuracy": accuracy | {"all": 99.0}, "backbone": "ResNet-10", "reference": "A paper"},
    ]
    sizes = {"paper": {"many": 2, "medium": 2, "few": 2}}
    (results / dataset).mkdir(exist_ok=True)
    content = {"dataset": dataset, "fold_sizes": sizes, "rows": rows}
    (results / dataset / "reported.json").write_text(json.dumps(content))


def test_published_rows_are_printed_apart_when_their_dataset_is_asked_for(results: Path) -> None:
    publish(results, "toy-lt")
    output = succeed(leaderboard, "--dataset", "toy-lt")
    assert output.index("experts / joint") < output.index("Reported on toy-lt (not ranked)") < output.index("Theirs")
    assert "‡1 Odd: All is 99.0, its folds imply 80.00 under paper (+19.00)." in output
    assert any(line.startswith("‡: the row contradicts itself.") for line in output.splitlines())
    assert "Nothing measured" not in output
    everything = succeed(leaderboard)
    assert "Theirs" not in everything
    assert "toy-lt: 2 reported rows; see 'ltbench leaderboard --results results --dataset toy-lt'." in everything


def test_a_dataset_with_published_rows_alone(results: Path) -> None:
    publish(results, "new-lt")
    assert "new-lt: nothing measured yet, 2 reported rows" in succeed(leaderboard)
    output = succeed(leaderboard, "--dataset", "new-lt")
    assert "Nothing measured yet" in output
    assert "ltbench data check new-lt --data-root DIR" in output
    assert "new-lt/LEADERBOARD.md is missing" in str(fail(leaderboard, "--dataset", "new-lt", "--check"))
    succeed(leaderboard, "--dataset", "new-lt", "--write")
    assert "up to date" in succeed(leaderboard, "--dataset", "new-lt", "--check")

    save(record(data="new-lt"), results)
    assert "is stale" in str(fail(leaderboard, "--dataset", "new-lt", "--check"))
    succeed(leaderboard, "--dataset", "new-lt", "--write")
    text = (results / "new-lt" / "LEADERBOARD.md").read_text()
    assert text.index("| experts | joint |") < text.index("| Theirs |")


def test_json_has_the_published_rows_with_their_check(results: Path) -> None:
    publish(results, "toy-lt")
    content = json.loads(succeed(leaderboard, "--dataset", "toy-lt", "--json"))
    (file,) = content["reported"]
    theirs, odd = file["rows"]
    assert theirs["check"]["verdict"] == "agrees"
    assert odd["check"] == {"stated": 99.0, "implied": {"paper": 80.0}, "fits": [], "verdict": "contradicts"}


def test_what_contradicts_itself_is_left_out_and_named(results: Path) -> None:
    before = succeed(leaderboard)
    path = save(record("uniform"), results)
    path.write_text(path.read_text().replace('"all":50.0', '"all":52.0'))
    (results / "toy-lt" / "a--none--s0--00000000.json").write_text("[" * 100_000)
    result = call(leaderboard)
    assert result.exception is None
    assert result.stdout == before
    assert result.stderr.startswith(
        "note: 2 records are left out, 'ltbench verify' names each: a--none--s0--00000000.json"
    )
    assert "nested too deeply; 32 tables" in result.stderr
    succeed(leaderboard, "--write")
    page = (results / "toy-lt" / "LEADERBOARD.md").read_text()
    assert "**Left out:** 2 records are left out" in page
    assert "uniform" not in page
    assert "Left out" not in (results / "other-lt" / "LEADERBOARD.md").read_text()
    assert "up to date" in succeed(leaderboard, "--check")
    content = json.loads(call(leaderboard, "--json").stdout)
    assert [Path(one["file"]).name for one in content["left_out"]] == ["a--none--s0--00000000.json", path.name]
    assert "the counts give 50.0000" in content["left_out"][1]["reason"]
    assert "2 records are left out" in call(compare, "experts/joint", "baseline", "--dataset", "toy-lt").stderr
    with pytest.warns(UserWarning, match="2 records are left out"):
        assert len(load_results()) == 3


def test_nothing_but_bad_records(results: Path) -> None:
    for path in results.rglob("*--*.json"):
        path.write_text("{}")
    error = fail(leaderboard)
    assert error.exit_code == 4
    assert "no sound record in results: 3 records are left out" in str(error)


def test_records_that_disagree_about_their_data_do_not_count(results: Path) -> None:
    total = [20, 20, 20, 20, 19, 21]
    labels = np.repeat(np.arange(6), total)
    save(record("uniform", correct=labels >= 0, labels=labels), results)
    result = call(leaderboard, "--dataset", "toy-lt")
    assert "uniform" not in result.stdout
    assert "experts / joint" in result.stdout
    assert "other records claim the same data with other class counts" in result.stderr


def test_one_training_under_several_seeds_does_not_count(results: Path) -> None:
    first = record("uniform", seed=0, accuracy=0.7)
    copied = record("uniform", seed=1, accuracy=0.7, stages=first.stages)
    for one in (first, copied):
        save(one, results)
    result = call(leaderboard, "--dataset", "toy-lt")
    (row,) = [
        row
        for row in json.loads(call(leaderboard, "--dataset", "toy-lt", "--json").stdout)["boards"][0]["rows"]
        if row["methods"] == ["uniform"]
    ]
    assert row["seeds"] == [0]
    assert f"{copied.name}.json: another record has the same stage under another seed" in result.stderr


def test_a_page_that_is_not_utf_8_is_stale(results: Path) -> None:
    succeed(leaderboard, "--write")
    (results / "toy-lt" / "LEADERBOARD.md").write_bytes(b"\xff\xfe# page")
    assert "is stale" in str(fail(leaderboard, "--check"))
    succeed(leaderboard, "--write")
    assert "up to date" in succeed(leaderboard, "--check")


@pytest.mark.parametrize("name", ["..", "/tmp/elsewhere", "a/b", "a\\b", "x\x1b[2J", "x" * 101, "", "."])
def test_a_name_of_a_dataset_leads_nowhere(results: Path, tmp_path: Path, name: str) -> None:
    page = tmp_path / "LEADERBOARD.md"
    page.write_text("mine")
    path = next((results / "toy-lt").glob("experts*.json"))
    content = json.loads(path.read_text())
    content["dataset"]["name"] = content["config"]["dataset"]["name"] = name
    content["config_hash"] = config_hash(content["config"])
    path.unlink()
    path.with_name(f"experts--joint--s0--{content['config_hash'][:8]}.json").write_text(json.dumps(content))
    reported = {"dataset": name, "rows": [{"method": "a", "accuracy": {"all": 1.0}, "reference": "b"}]}
    (results / "reported.json").write_text(json.dumps(reported))
    assert "dataset: " in str(fail(leaderboard, "--write"))
    (results / "reported.json").unlink()
    result = call(leaderboard, "--write")
    assert result.exception is None
    assert "dataset.name" in result.stderr
    assert page.read_text() == "mine"
    assert sorted(tmp_path.rglob("LEADERBOARD.md")) == [
        page,
        results / "other-lt" / "LEADERBOARD.md",
        results / "toy-lt" / "LEADERBOARD.md",
    ]


def test_a_link_out_of_the_results_is_not_followed(results: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (results / "toy-lt").rename(outside)
    (outside / "LEADERBOARD.md").write_text("mine")
    (results / "toy-lt").symlink_to(outside)
    save(record(accuracy=0.6), results / "copies")
    error = fail(leaderboard, "--write")
    assert error.exit_code == 4
    assert "outside of results: nothing is written there" in str(error)
    with pytest.raises(DataError, match="nothing is written there"):
        save(record(), results)

    (results / "toy-lt").unlink()
    (results / "toy-lt").mkdir()
    (results / "toy-lt" / "LEADERBOARD.md").symlink_to(outside / "LEADERBOARD.md")
    succeed(leaderboard, "--write")
    assert (outside / "LEADERBOARD.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "kind", "complaint"),
    [
        (["--dataset", "nobody-lt"], DataError, "no records in results"),
        (["--folds", "papper"], UsageError, "Did you mean 'paper'"),
        (["--folds", "oltr", "--write"], UsageError, "Leave it out"),
        (["--check", "--json"], UsageError, "exclude each other"),
    ],
)
def test_mistakes(results: Path, arguments: list[str], kind: type[LtbenchError], complaint: str) -> None:
    error = fail(leaderboard, *arguments)
    assert isinstance(error, kind)
    assert complaint in str(error)


def test_compare_two_rows(results: Path) -> None:
    output = succeed(compare, "experts/joint", "baseline", "--dataset", "toy-lt")
    assert "60.0" in output
    assert "+20.0 [" in output
    assert "only A right" in output
    content = json.loads(succeed(compare, "experts/joint", "baseline", "--dataset", "toy-lt", "--json"))
    assert content["differences"]["all"]["estimate"] == pytest.approx(20)


def test_compare_two_files_needs_no_results(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(path) for path in (results / "toy-lt").glob("*.json")]
    monkeypatch.setenv("LTBENCH_RESULTS", "nowhere")
    assert "exact McNemar p" in succeed(compare, *paths)


def test_compare_says_what_is_ambiguous(results: Path) -> None:
    assert "--dataset" in str(fail(compare, "experts/joint", "baseline"))


def test_verify_a_folder_and_a_broken_record(results: Path) -> None:
    output = succeed(verify, str(results), "-v")
    assert output.count("bits, counts and accuracies agree") == 3
    assert output.count("is not in the cache") == 3
    assert output.splitlines()[-1] == "3 consistent"
    path = next((results / "toy-lt").glob("experts*.json"))
    path.write_text(path.read_text().replace('"all":60.0', '"all":62.0'))
    error = fail(verify, str(results))
    assert error.exit_code == 1
    assert str(error) == f"1 of 3 records failed, the first is {path}."
    found = json.loads(call(verify, str(path), "--json").stdout)
    assert found[str(path)]["state"] == found[str(path)]["findings"][0]["state"] == "failed"


def test_neither_torch_nor_pandas_is_loaded(results: Path) -> None:
    code = (
        "import sys\n"
        "from ltbench.cli.commands.leaderboard import command\n"
        "command(['--results', sys.argv[1]], standalone_mode=False)\n"
        "print(sorted({'torch', 'timm', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
