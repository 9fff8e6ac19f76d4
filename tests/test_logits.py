"""The public folder of logits: what is written is what is read. Malformed folders: tests/cli/test_fuse.py."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import DataError
from ltbench.fuser import MemberLogits, Outside
from ltbench.results.logits import LogitsFolder, SplitLogits, joined, read_logits, write_logits


def split(samples: int, members: list[tuple[str, list[int], Outside]], seed: int, num_classes: int) -> SplitLogits:
    generator = torch.Generator().manual_seed(seed)
    made = [
        MemberLogits(
            name,
            name.partition("/")[0],
            torch.tensor(classes),
            outside,
            torch.randn(samples, len(classes) + (outside == "reject"), generator=generator),
        )
        for name, classes, outside in members
    ]
    labels = torch.randint(num_classes, (samples,), generator=generator)
    return SplitLogits(made, labels, torch.randperm(samples, generator=generator))


def folder(
    members: list[tuple[str, list[int], Outside]], samples: int = 6, seed: int = 0, num_classes: int = 4
) -> LogitsFolder:
    val, test = (split(samples + extra, members, seed + extra, num_classes) for extra in (0, 3))
    return LogitsFolder(num_classes, np.arange(num_classes, 0, -1) * 50, val, test, {"name": "birds-lt"})


def assert_same(one: LogitsFolder, other: LogitsFolder) -> None:
    assert (one.num_classes, one.dataset) == (other.num_classes, other.dataset)
    assert one.train_counts.tolist() == other.train_counts.tolist()
    for name in ("val", "test"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.indices, theirs.indices)
        for mine, its in zip(ours.members, theirs.members, strict=True):
            assert (mine.name, mine.method, mine.outside) == (its.name, its.method, its.outside)
            assert torch.equal(mine.classes, its.classes)
            assert torch.equal(mine.logits, its.logits)


FULL: tuple[str, list[int], Outside] = ("baseline/all", [0, 1, 2, 3], "none")
PARTIAL: list[tuple[str, list[int], Outside]] = [("experts/head", [0, 2], "reject"), ("experts/tail", [1, 3], "zero")]


@given(samples=st.integers(1, 20), seed=st.integers(0, 5), full=st.booleans())
def test_a_folder_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, samples: int, seed: int, full: bool
) -> None:
    content = folder([FULL, *PARTIAL] if full else PARTIAL, samples, seed)
    path = tmp_path_factory.mktemp("logits")
    write_logits(path, content)
    assert_same(read_logits(path), content)


def test_the_files_are_what_the_format_says(tmp_path: Path) -> None:
    write_logits(tmp_path, folder(PARTIAL))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["members.json", "test.safetensors", "val.safetensors"]
    described = json.loads((tmp_path / "members.json").read_text())
    assert len(described.pop("sha256")) == 64
    assert described == {
        "of": "members.json",
        "format": 1,
        "num_classes": 4,
        "train_counts": [200, 150, 100, 50],
        "members": [
            {"name": "experts/head", "method": "experts", "classes": [0, 2], "outside": "reject"},
            {"name": "experts/tail", "method": "experts", "classes": [1, 3], "outside": "zero"},
        ],
        "dataset": {"name": "birds-lt"},
    }


@pytest.mark.parametrize("name", ["labels", "indices"])
def test_a_member_cannot_have_a_name_of_the_format_s_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"a member cannot be named '{name}'"):
        write_logits(tmp_path, folder([(name, [0, 1, 2, 3], "none")]))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"val.safetensors cannot be written: .*directory"):
        write_logits(tmp_path / "file" / "logits", folder([FULL]))


def test_members_of_several_folders_are_joined() -> None:
    one, other = folder([FULL], seed=1), folder(PARTIAL, seed=1)
    same_samples = LogitsFolder(
        4,
        other.train_counts,
        *(
            SplitLogits(getattr(other, name).members, getattr(one, name).labels, getattr(one, name).indices)
            for name in ("val", "test")
        ),
    )
    both = joined([one, same_samples])
    assert [member.name for member in both.test.members] == ["baseline/all", "experts/head", "experts/tail"]
    assert torch.equal(both.val.labels, one.val.labels)


@pytest.mark.parametrize("changed", ["labels", "indices", "samples", "classes"])
def test_logits_of_other_samples_are_not_joined(changed: str) -> None:
    one, other = folder([FULL]), folder([("other/all", [0, 1, 2, 3], "none")])
    assert len(joined([one, other]).val.members) == 2
    if changed == "labels":
        other.test.labels[0] = (other.test.labels[0] + 1) % 4
    elif changed == "indices":
        other.val.indices.copy_(other.val.indices.roll(1))
    elif changed == "samples":
        other = folder([("other/all", [0, 1, 2, 3], "none")], samples=7)
    else:
        other = folder([("other/all", [0, 1, 2, 3, 4], "none")], num_classes=5)
    with pytest.raises(DataError, match="of different samples or classes"):
        joined([one, other])
