import hashlib
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ltbench_datasets.cifar_lt import Cifar10LT, Cifar100LT
from pydantic import ValidationError

import ltbench
from ltbench.data.base import SPLITS
from ltbench.data.long_tailed import LongTailedOptions
from ltbench.errors import DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(autouse=True)
def empty_cache(cache: Path) -> None:
    """Each test reads the archive itself."""


def rows(labels: list[int], numbers: list[int]) -> np.ndarray:
    """uint8[N, 3072] as CIFAR stores them: red shows the label, green the number, blue the line and the column."""
    grid = np.add.outer(5 * np.arange(32), np.arange(32)).ravel()
    return np.array(
        [np.concatenate([np.full(1024, a), np.full(1024, b), grid]) for a, b in zip(labels, numbers, strict=True)],
        dtype=np.uint8,
    )


def store(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def draw_cifar10(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes CIFAR-10's files with 16 training images a class and 20 test images, and makes torchvision expect them."""

    def draw(root: Path, first_number: int = 0) -> Path:
        source, folder = Cifar10LT._source, root / "cifar-10-batches-py"
        train_list = []
        for batch in range(5):
            labels = [n % 10 for n in range(32 * batch, 32 * batch + 32)]
            numbers = [n + (first_number if n == 0 else 0) for n in range(32 * batch, 32 * batch + 32)]
            name = f"data_batch_{batch + 1}"
            train_list.append([name, store(folder / name, {"data": rows(labels, numbers), "labels": labels})])
        labels = [n // 2 for n in range(20)]
        test = store(folder / "test_batch", {"data": rows(labels, [200 + n for n in range(20)]), "labels": labels})
        meta = store(folder / "batches.meta", {"label_names": NAMES, "num_vis": 3072})
        monkeypatch.setattr(source, "train_list", train_list)
        monkeypatch.setattr(source, "test_list", [["test_batch", test]])
        monkeypatch.setattr(source, "meta", {"filename": "batches.meta", "key": "label_names", "md5": meta})
        return root

    return draw


@pytest.fixture
def cifar10(tmp_path: Path, draw_cifar10: Callable[..., Path]) -> Path:
    return draw_cifar10(tmp_path / "cifar")


def opened(root: Path, **options: Any) -> Cifar10LT:
    return Cifar10LT(LongTailedOptions(**{"imbalance": 4, "val_per_class": 3, **options}), root)


def numbers_of(dataset: Cifar10LT, split: str) -> list[int]:
    return dataset.split(split).images[:, 1, 0, 0].tolist()


def test_splits(cifar10: Path) -> None:
    dataset = opened(cifar10)
    assert dataset.class_names == NAMES
    profile = [int(16 * 0.25 ** (c / 9)) for c in range(10)]
    held_out = [min(3, n // 2) for n in profile]
    assert (profile[0], profile[-1]) == (16, 4) and held_out[-1] == 2
    assert dataset.train_counts.tolist() == [n - v for n, v in zip(profile, held_out, strict=True)]
    assert torch.bincount(dataset.split("val").labels).tolist() == held_out
    assert torch.bincount(dataset.split("test").labels).tolist() == [2] * 10
    assert numbers_of(dataset, "test") == list(range(200, 220))
    train, val = numbers_of(dataset, "train"), numbers_of(dataset, "val")
    assert len({*train, *val}) == len(train) + len(val) == sum(profile)


def test_images_have_their_labels_and_are_the_right_way_up(cifar10: Path) -> None:
    dataset = opened(cifar10)
    for name in SPLITS:
        split = dataset.split(name)
        batch = split.__getitems__(range(len(split)))
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (len(split), *dataset.image_shape) == (len(split), 3, 32, 32)
        assert torch.equal(batch.images[:, 0, 7, 7].long(), batch.labels)
        if name != "test":
            assert (batch.images[:, 1, 0, 0] % 10).tolist() == batch.labels.tolist()
        assert torch.equal(batch.images[:, 2, 3, 4], torch.full((len(split),), 5 * 3 + 4, dtype=torch.uint8))


def test_the_fingerprint_follows_images_and_draw(
    cifar10: Path, tmp_path: Path, draw_cifar10: Callable[..., Path]
) -> None:
    first = opened(cifar10).fingerprint
    assert opened(cifar10).fingerprint == first
    for change in ({"seed": 1}, {"imbalance": 5}, {"val_per_class": 2}):
        assert opened(cifar10, **change).fingerprint != first
    assert opened(draw_cifar10(tmp_path / "copy")).fingerprint == first
    every = {"imbalance": 1}
    whole = opened(cifar10, **every).fingerprint
    assert opened(draw_cifar10(tmp_path / "other", first_number=99), **every).fingerprint != whole


def test_an_image_that_is_not_drawn_does_not_change_the_fingerprint(cifar10: Path) -> None:
    dataset = opened(cifar10)
    drawn = {number for name in ("train", "val") for number in numbers_of(dataset, name)}
    unused = min(set(range(9, 160, 10)) - drawn)
    batch = unused // 32
    labels = [n % 10 for n in range(32 * batch, 32 * batch + 32)]
    numbers = [255 if n == unused else n for n in range(32 * batch, 32 * batch + 32)]
    name = f"data_batch_{batch + 1}"
    path = cifar10 / "cifar-10-batches-py" / name
    Cifar10LT._source.train_list[batch][1] = store(path, {"data": rows(labels, numbers), "labels": labels})
    assert opened(cifar10).fingerprint == dataset.fingerprint


def test_cifar100_is_read_with_its_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, source = tmp_path / "cifar-100-python", Cifar100LT._source
    md5 = {}
    for name, each in (("train", 4), ("test", 1)):
        fine = [n % 100 for n in range(100 * each)]
        content = {"data": rows(fine, [0] * len(fine)), "fine_labels": fine, "coarse_labels": [0] * len(fine)}
        md5[name] = store(folder / name, content)
    names = [f"class {c:02d}" for c in range(100)]
    meta = store(folder / "meta", {"fine_label_names": names, "coarse_label_names": ["all"]})
    monkeypatch.setattr(source, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(source, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(source, "meta", {"filename": "meta", "key": "fine_label_names", "md5": meta})
    dataset = Cifar100LT(Cifar100LT.Options(imbalance=2), tmp_path)
    assert dataset.options.val_per_class == 5
    assert dataset.class_names == names
    assert torch.equal(dataset.split("train").images[:, 0, 0, 0].long(), dataset.split("train").labels)
    both = dataset.train_counts + np.bincount(dataset.split("val").labels.numpy(), minlength=100)
    assert (both[0], both[-1], dataset.train_counts[-1]) == (4, 2, 1)


def test_a_missing_download_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", None)  # nothing is downloaded unasked
    with pytest.raises(DataError) as caught:
        opened(tmp_path).split("train")
    assert f"no folder cifar-10-batches-py in {tmp_path}" in str(caught.value)
    assert f"'ltbench data fetch cifar10-lt --folder {tmp_path}'" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="'ltbench data fetch cifar10-lt'"):
        Cifar10LT().split("train")


@pytest.mark.parametrize("name", ["data_batch_2", "batches.meta"])
def test_a_damaged_file_is_named(cifar10: Path, name: str) -> None:
    path = cifar10 / "cifar-10-batches-py" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"damaged in .*: {name}\. Delete that folder.*data fetch cifar10-lt"):
        opened(cifar10).split("test")


def test_a_file_that_may_not_be_read_is_named(cifar10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> None:  # the suite may run as root, who may read anything
        raise PermissionError(13, "Permission denied", "data_batch_1")

    monkeypatch.setattr("pickle.load", denied)
    with pytest.raises(DataError, match="data_batch_1 cannot be read: Permission denied"):
        opened(cifar10).split("train")


def test_a_second_opening_reads_the_cache(cifar10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(cifar10)
    fingerprint = first.fingerprint
    monkeypatch.setattr("pickle.load", None)
    again = opened(cifar10)
    assert again.fingerprint == fingerprint
    assert torch.equal(again.split("train").images, first.split("train").images)
    assert opened(cifar10, imbalance=2).train_counts.sum() > again.train_counts.sum()
    with pytest.raises(DataError, match="no folder"):  # a wrong root is not hidden by the cache
        opened(cifar10 / "wrong").split("train")


@pytest.fixture
def served(cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The drawn archive as a download on this machine, at the address that torchvision asks."""
    archive = tmp_path / "web" / Cifar10LT._source.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(cifar10 / "cifar-10-batches-py", "cifar-10-batches-py")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(Cifar10LT._source, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        monkeypatch.setattr(Cifar10LT._source, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        yield
        server.shutdown()


def test_fetching_into_the_cache_makes_the_dataset_work_without_a_root(
    cache: Path, cifar10: Path, served: None
) -> None:
    folder = Cifar10LT.fetch()
    assert folder.is_relative_to(cache)
    assert Cifar10LT(LongTailedOptions(imbalance=4, val_per_class=3)).fingerprint == opened(cifar10).fingerprint


def test_fetching_again_downloads_nothing(tmp_path: Path, served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Cifar10LT.fetch(tmp_path / "here")
    monkeypatch.setattr("urllib.request.urlopen", None)
    assert Cifar10LT.fetch(tmp_path / "here") == folder == tmp_path / "here" / "cifar-10-batches-py"


def test_a_download_that_fails_is_an_error_with_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cifar10LT._source, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/cifar\.tar\.gz could not be fetched into"):
        Cifar10LT.fetch(tmp_path)


@pytest.mark.parametrize("wrong", [{"imbalance": 0.5}, {"val_per_class": 0}, {"seed": -1}, {"classes": 10}])
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LongTailedOptions(**wrong)


def test_they_are_found_by_name(cifar10: Path) -> None:
    dataset = ltbench.get_dataset("cifar10-lt", root=cifar10, imbalance=4, val_per_class=3)
    assert dataset.fingerprint == opened(cifar10).fingerprint
    assert isinstance(ltbench.get_dataset("cifar100-lt", root=cifar10), Cifar100LT)
