"""Files are whole or not there, and a place that cannot be written is one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ltbench import files
from ltbench.errors import DataError
from ltbench.files import save_beside, write_json


def test_tensors_that_share_memory_are_written_whole(tmp_path: Path) -> None:
    values = torch.arange(12.0).reshape(3, 4)
    save_beside({"all": values, "part": values[1:, ::2]}, tmp_path / "new" / "file.safetensors")
    found = load_file(tmp_path / "new" / "file.safetensors")
    assert torch.equal(found["all"], values)
    assert torch.equal(found["part"], values[1:, ::2])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.safetensors"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.safetensors"
    save_beside({"value": torch.ones(2)}, path)

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: no space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(DataError, match=r"file.safetensors cannot be written: .*no space left on device"):
        save_beside({"value": torch.zeros(2)}, path)
    assert torch.equal(load_file(path)["value"], torch.ones(2))


def test_json_is_written_sorted_and_replaces(tmp_path: Path) -> None:
    for value in (1, 2):
        write_json(tmp_path / "new" / "file.json", {"b": value, "a": [value]})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": [2], "b": 2}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.json"]
    with pytest.raises(DataError, match="cannot be written"):
        write_json(tmp_path / "new" / "file.json" / "below.json", {})
