"""Records on disk: where they are looked for, how they are written, what is said of a bad one."""

import json
import os
import re
from pathlib import Path

import pytest

from ltbench.errors import DataError
from ltbench.results.schema import Track
from ltbench.results.store import default_results_root, load, load_results, read_record, save, to_json

from .records import baseline, record


def test_saved_records_are_loaded_again(tmp_path: Path) -> None:
    made = [record(seed=1), record(seed=0), baseline(data="other-lt")]
    paths = [save(one, tmp_path) for one in made]
    assert paths[0] == tmp_path / "toy-lt" / f"{made[0].name}.json"
    assert paths[2].parent == tmp_path / "other-lt"
    assert {one.name: one for one in load(tmp_path).records} == {one.name: one for one in made}
    assert load(paths[1]).records == [made[1]]


def test_the_same_record_is_not_written_again(tmp_path: Path) -> None:
    made = record()
    path = save(made, tmp_path)
    os.utime(path, ns=(1, 1))
    save(made, tmp_path)
    assert path.stat().st_mtime_ns == 1
    save(made.model_copy(update={"notes": ("another",)}), tmp_path)
    assert load(path).records[0].notes == ("another",)
    assert list(path.parent.iterdir()) == [path]


def test_text_is_stable_and_reads_well_in_a_diff() -> None:
    made = record()
    text = to_json(made)
    assert text.endswith("}\n")
    assert json.loads(text) == made.model_dump(mode="json")
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert (
        sum(line.startswith((' "seed": ', '  "seed": ')) for line in text.splitlines()) == 2
    )  # the record's and the config's
    assert max(map(len, text.splitlines())) < 400


def test_only_records_are_read_in_a_folder(tmp_path: Path) -> None:
    save(record(), tmp_path / "run" / "records")
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "members.json").write_text("[")
    assert len(load(tmp_path).found) == 1


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[:100], "is not JSON"),
        (lambda text: text.replace('"all":50.0', '"all":51.0', 1), "the counts give 50.0000"),
        (lambda text: text.replace('"role": "run"', '"role": "winner"'), "role: Input should be"),
        (lambda text: text.replace('"seed": 0', '"sead": 0'), "Field required"),
        (lambda text: text.replace('"seed": 0', '"seed": 0, "seed": 0'), "the key 'seed' is given twice"),
        (lambda text: text.replace('"notes": []', f'"notes": {"[" * 100_000}'), "nested too deeply; 32 tables"),
        (lambda text: text.replace('"fuser_state": {}', f'"fuser_state": {"[" * 40 + "]" * 40}'), "nested too deeply"),
        (lambda text: text.replace('"schema_version": 2', '"schema_version": 1'), "version 1, .* make it again"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, damage, complaint: str) -> None:
    path = save(record(), tmp_path)
    text = path.read_text()
    assert damage(text) != text
    path.write_text(damage(text))
    with pytest.raises(DataError, match=complaint) as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    (left_out,) = load(tmp_path).left_out
    assert left_out.path == path
    assert re.search(complaint, left_out.reason)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no records in .*nowhere.*ltbench run"):
        load(tmp_path / "nowhere")


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "toy-lt").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        save(record(), tmp_path)


def test_frame_has_one_row_a_record(tmp_path: Path) -> None:
    for made in (record(accuracy=0.5, ece=2.0), baseline(accuracy=[1, 1, 0.5, 0.5, 0, 0])):
        save(made, tmp_path)
    frame = load_results(str(tmp_path)).set_index("methods")
    assert len(frame) == 2
    assert frame.loc["baseline", ["many", "medium", "few", "all"]].tolist() == [100, 50, 0, 50]
    assert frame.loc["experts", "fuser"] == "joint"
    assert frame.loc["experts", "ece"] == 2.0
    assert Path(frame.loc["experts", "path"]).is_file()
    said = f"{load_results.__doc__} {Track.__doc__}"
    assert [column for column in frame.columns if not re.search(rf"\b{column}\b", said)] == []


def test_frame_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        load_results(tmp_path)


def test_order_in_which_the_results_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LTBENCH_RESULTS", raising=False)
    assert default_results_root() == tmp_path / "cache" / "runs"
    (tmp_path / "results").mkdir()
    assert default_results_root() == Path("results")
    monkeypatch.setenv("LTBENCH_RESULTS", str(tmp_path / "named"))
    assert default_results_root() == tmp_path / "named"
    assert default_results_root(Path("given")) == Path("given")
