"""What is sealed is noticed when a byte of it changes; what is whole comes back as it was."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ltbench.common import sealed_tensors
from ltbench.common.sealed import Damaged, read_json, read_text, seal, set_aside, write_json
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.errors import DataError

TENSORS = {
    "weights": torch.arange(12.0).reshape(3, 4),
    "count": torch.tensor(7),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "none": torch.empty(0, 3),
}


def test_json_comes_back_and_anybody_can_read_it(tmp_path: Path) -> None:
    path, content = tmp_path / "a.json", {"b": [1, "ä"], "a": {"c": None}}
    write_json(path, content, "thing 1")
    assert read_json(path, "thing 1") == content
    assert content.items() <= json.loads(path.read_text()).items()


def test_every_byte_of_json_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"accuracy": 12.5}, "thing")
    whole = path.read_bytes()
    for position in range(len(whole)):
        for value in (whole[position] ^ 1, whole[position] ^ 0x80, ord(" "), ord("\n"), 0):
            if value != whole[position]:
                path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
                with pytest.raises(Damaged):
                    read_json(path, "thing")
    for other in (whole + b"\n", whole[:-1], whole[:40], b"\n" + whole, b"{}", b"[]", b"nonsense"):
        path.write_bytes(other)
        with pytest.raises(Damaged):
            read_json(path, "thing")


def test_every_byte_of_tensors_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, "thing", {"text": "ä"})
    whole = path.read_bytes()
    for position in range(len(whole)):
        for mask in (1, 0x10, 0x80, 0xFF):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
            with pytest.raises(Damaged):
                read_tensors(path, "thing")


def test_tensors_come_back_and_anybody_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.safetensors"
    seal = write_tensors(path, TENSORS, "thing", {"text": "ä"})
    found = read_tensors(path, "thing")
    assert (found.texts, found.sha256) == ({"text": "ä"}, seal)
    for tensors in (found.tensors, load_file(path)):
        assert tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_the_seal_covers_names_types_shapes_values_texts_and_what_the_file_is(tmp_path: Path) -> None:
    def seal_of(tensors: dict[str, torch.Tensor], of: str = "thing", **texts: str) -> str:
        return write_tensors(tmp_path / "a.safetensors", tensors, of, texts)

    one = torch.tensor([[1, 2]], dtype=torch.int32)
    seals = [
        seal_of({"a": one}),
        seal_of({"b": one}),
        seal_of({"a": one.view(torch.float32)}),
        seal_of({"a": one.T}),
        seal_of({"a": one + 1}),
        seal_of({"a": one}, text="x"),
        seal_of({"a": one}, of="other"),
    ]
    assert len(set(seals)) == len(seals)
    assert seal_of({"a": one.clone()}) == seals[0]


def test_tensors_that_share_memory_are_written_whole(tmp_path: Path) -> None:
    values = torch.arange(12.0).reshape(3, 4)
    write_tensors(tmp_path / "a.safetensors", {"all": values, "part": values[1:, ::2]}, "thing")
    found = read_tensors(tmp_path / "a.safetensors", "thing").tensors
    assert torch.equal(found["all"], values)
    assert torch.equal(found["part"], values[1:, ::2])


def test_a_write_that_fails_leaves_the_old_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"value": torch.ones(2)}, "thing")

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: no space left on device")

    monkeypatch.setattr(sealed_tensors, "save_file", full)
    with pytest.raises(DataError, match=r"a.safetensors cannot be written: .*no space left on device"):
        write_tensors(path, {"value": torch.zeros(2)}, "thing")
    assert torch.equal(read_tensors(path, "thing").tensors["value"], torch.ones(2))


@pytest.mark.parametrize("of", ["thing", None])
@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("is missing", Path.unlink),
        ("is damaged: empty", lambda path: path.write_bytes(b"")),
        ("is damaged: cut short", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("is damaged: cut short", lambda path: path.write_bytes(path.read_bytes() + b" ")),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, what: str, damage: Callable[[Path], None], of: str | None) -> None:
    texts, tensors = tmp_path / "a.json", tmp_path / "a.safetensors"
    write_json(texts, {"a": 1}, "thing")
    write_tensors(tensors, TENSORS, "thing")
    readers = {texts: lambda: read_text(texts, must=of is not None), tensors: lambda: read_tensors(tensors, of)}
    for path, read in readers.items():
        damage(path)
        with pytest.raises(Damaged) as caught:
            read()
        assert str(caught.value).startswith(f"{path} {what}")


def test_a_file_without_a_seal_is_anybody_s_and_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert json.loads(read_text(tmp_path / "a.json", must=False)) == {"a": 1}
    assert read_tensors(tmp_path / "a.safetensors", None).tensors.keys() == TENSORS.keys()
    for read in (
        lambda: read_json(tmp_path / "a.json", "thing"),
        lambda: read_tensors(tmp_path / "a.safetensors", "thing"),
    ):
        with pytest.raises(Damaged, match="carries no checksum"):
            read()


def test_a_whole_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1}, "this")
    write_tensors(tmp_path / "a.safetensors", TENSORS, "this")
    for read in (
        lambda: read_json(tmp_path / "a.json", "that"),
        lambda: read_tensors(tmp_path / "a.safetensors", "that"),
    ):
        with pytest.raises(Damaged, match="it belongs elsewhere, being 'this', not 'that'"):
            read()


def test_a_text_is_sealed_as_it_stands() -> None:
    text = '{\n "b": 1,\n\n "a": 2}\n'
    assert seal(text).split("\n", 1)[1] == text.split("\n", 1)[1]
    assert json.loads(seal(text))["b"] == 1


def test_what_is_set_aside_is_kept_under_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    for number in range(3):
        path.write_text(str(number))
        set_aside(path, Damaged(path, "is damaged: empty"))
    names = ["a.json.damaged", "a.json.damaged2", "a.json.damaged3"]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict(zip(names, "012", strict=True))
    set_aside(path, Damaged(path, "is missing"), "it is drawn again")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        *(f"ltbench: {path} is damaged: empty; set aside as {name}, it is made again." for name in names),
        f"ltbench: {path} is missing; it is drawn again.",
    ]
