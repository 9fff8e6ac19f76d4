from pathlib import Path

import platformdirs
import pytest

from ltbench.common.cache import cache_dir
from ltbench.errors import DataError


def test_the_folder_is_the_one_asked_for_and_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_dir() == tmp_path / "deep" / "cache"
    assert cache_dir().is_dir()


def test_the_folder_is_the_users_cache_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTBENCH_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    assert cache_dir() == tmp_path / "ltbench"


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file" / "cache"
    blocked.parent.write_text("in the way")
    monkeypatch.setenv("LTBENCH_CACHE", str(blocked))
    with pytest.raises(DataError) as caught:
        cache_dir()
    assert str(blocked) in str(caught.value)
    assert "LTBENCH_CACHE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission_to_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the suite may run as root, who may write anywhere
    with pytest.raises(DataError, match="no permission to write"):
        cache_dir()
