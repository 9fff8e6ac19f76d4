"""What ``folder`` suggests: from the number and size of images and the classes; what anybody says beats it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ltbench_datasets.folder import Folder, FolderOptions
from ltbench_datasets.folder_settings import suggest
from PIL import Image
from tiny import Outcome

from ltbench.data.images.looks import SAMPLE, Looks, look_at
from ltbench.data.suggestions import Asked
from ltbench.training.optim import OptimConfig

PUBLISHED = OptimConfig(epochs=100, batch_size=512, lr=0.2)
"""Of ImageNet-LT: the default."""


def suggested(
    images: int = 10_847, classes: int = 100, side: int = 32, grey: bool = False, **said: Any
) -> dict[str, Any]:
    """Section -> what is suggested for a run of ``m``."""
    asked = Asked(said, {("m", "optim"): PUBLISHED})
    return {
        key: value
        for each in suggest(images, classes, Looks(side, grey), asked)
        for key, value in each.settings.items()
    }


def draw(folder: Path, number: int, size: tuple[int, int], mode: str = "RGB", kind: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    for image in range(number):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{image:03d}.{kind}")


def photos(root: Path, size: tuple[int, int], mode: str = "RGB", kind: str = "png") -> Path:
    for split, counts in {"train": (12, 6), "val": (3, 3), "test": (3, 3)}.items():
        for name, number in zip("ab", counts, strict=True):
            draw(root / split / name, number, size, mode, kind)
    return root


@pytest.mark.parametrize(
    ("side", "size"), [(28, 28), (32, 32), (96, 96), (200, 200), (224, 224), (375, 224), (3000, 224)]
)
def test_images_are_read_at_their_own_size_up_to_the_usual_one(side: int, size: int) -> None:
    assert suggested(side=side)["augment"]["size"] == size


def test_at_cifars_size_images_are_shifted_as_there_and_larger_ones_cropped() -> None:
    assert suggested(side=32)["augment"] == {"size": 32, "shift": 4, "flip": True}
    assert suggested(side=256)["augment"] == {"size": 224, "crop_scale": [0.08, 1.0], "flip": True}


def test_grey_images_are_not_mirrored() -> None:
    assert suggested(grey=True)["augment"]["flip"] is False


@pytest.mark.parametrize(("side", "stride"), [(28, 1), (32, 1), (64, 2), (112, 2)])
def test_small_images_get_a_small_stem(side: int, stride: int) -> None:
    kwargs = suggested(side=side)["backbone"]["kwargs"]
    assert (kwargs["stem_kernel"], kwargs["stem_stride"], kwargs["max_pool"]) == (3, stride, False)
    assert ("widths" in kwargs) == (stride == 1)


def test_the_stem_is_for_the_size_at_which_the_images_are_read() -> None:
    assert "backbone" not in suggested(side=224)
    assert "backbone" not in suggested(side=28, augment={"size": 224})
    assert suggested(side=500, augment={"size": 32})["backbone"]["kwargs"]["stem_stride"] == 1


def test_batches_and_rates_pass_through_the_published_points() -> None:
    """CIFAR-100-LT: 10,847 images, batch 128, lr 0.1 (Cao et al. 2019). ImageNet-LT: 115,846, 512, 0.2 (Kang et al. 2020)."""
    optim = suggested(images=10_847, classes=100)["m"]["optim"]
    assert (optim["batch_size"], optim["lr"]) == (128, 0.1)
    assert "m" not in suggested(images=115_846, classes=1000)


@pytest.mark.parametrize(
    ("images", "classes", "batch", "epochs"),
    [(300, 3, 32, 200), (300, 150, 128, 200), (4_000, 10, 32, 200), (8_000, 10, 64, 125), (30_000, 10, 256, None)],
)
def test_few_images_get_smaller_batches_and_more_epochs(
    images: int, classes: int, batch: int, epochs: int | None
) -> None:
    """At least an image of each class in a batch; until a million images were shown, at most twice the epochs."""
    optim = suggested(images=images, classes=classes)["m"]["optim"]
    assert (optim["batch_size"], optim.get("epochs")) == (batch, epochs)
    assert optim["lr"] == pytest.approx(0.2 * (batch / 512) ** 0.5, rel=0.05)


def test_a_schedule_by_steps_is_stretched_as_a_whole() -> None:
    optim = OptimConfig(epochs=60, batch_size=32, schedule="step", step_epochs=10, patience=15)
    (found,) = suggest(300, 3, Looks(500, False), Asked({"augment": {"size": 224}}, {("m", "optim"): optim}))[1:]
    assert found.settings == {"m": {"optim": {"epochs": 120, "step_epochs": 20, "patience": 30}}}
    assert "300 training images of 3 classes" in found.reason


@pytest.mark.parametrize("said", ["batch_size", "lr", "optimizer"])
def test_rate_and_batch_are_suggested_together_or_not_at_all(said: str) -> None:
    optim = suggested(images=300, m={"optim": {said: 1}})["m"]["optim"]
    assert set(optim) == {"epochs"}
    assert set(suggested(images=300, m={"optim": {"epochs": 3}})["m"]["optim"]) == {"batch_size", "lr"}
    assert "m" not in suggested(images=300, m={"optim": {"epochs": 3, said: 1}})


@pytest.mark.parametrize("said", [{"shift": 1}, {"crop_scale": [0.5, 1.0]}])
def test_who_says_how_images_are_framed_gets_no_second_way(said: dict[str, Any]) -> None:
    assert set(suggested(augment=said)["augment"]) == {"size", "flip"}


def test_the_headers_of_a_sample_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a", 5, (60, 28))
    draw(tmp_path / "b", 4, (40, 90), "L")
    files = [str(file) for file in sorted(tmp_path.rglob("*.png"))]
    assert look_at(files) == Looks(28, False)
    assert look_at(files[5:]) == Looks(40, True)
    opened = []
    whole = Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or whole(file))
    assert look_at(files * 1000) == look_at(files * 1000)
    assert len(opened) == 2 * SAMPLE
    assert opened[0] == files[0] and opened[SAMPLE - 1] == files[-1], "at equal steps from the first to the last"


def test_bad_files_are_passed_over_and_pipes_not_opened(tmp_path: Path) -> None:
    draw(tmp_path / "a", 1, (30, 20))
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    bad = [str(tmp_path / name) for name in ("empty.png", "text.png", "pipe.png", "missing.png")]
    assert look_at(bad) is None
    assert look_at([*bad, str(tmp_path / "a" / "000.png")]) == Looks(20, False)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_packed_copy_suggests_what_its_originals_do(ltb: Callable[..., Outcome], tmp_path: Path, mode: str) -> None:
    root = photos(tmp_path / "photos", (30, 28), mode)
    assert ltb("data", "pack", "folder", "--data-root", root).code == 0
    asked = Asked({}, {("m", "optim"): PUBLISHED})
    both = [Folder(FolderOptions(storage=kind), root).suggested_settings(asked) for kind in ("files", "packed")]  # type: ignore[arg-type]
    assert both[0] == both[1]
    assert both[0][0].settings["augment"] == {"size": 28, "shift": 3, "flip": mode == "RGB"}


def plan(ltb: Callable[..., Outcome], root: Path, *more: object) -> Outcome:
    return ltb("run", "-m", "baseline", "-d", "folder", "--data-root", root, "--dry-run", *more)


def test_a_dry_run_shows_them_with_their_source_and_says_why(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", (28, 28), "L")
    done = plan(ltb, root)
    rows = {tuple(cell.strip() for cell in line.split("│")[1:4]) for line in done.out.splitlines() if "│" in line}
    assert ("augment.size", "28", "suggested by folder") in rows
    assert ("baseline.optim.batch_size", "32", "suggested by folder") in rows
    said = " ".join(done.err.split())
    assert "note: suggested by folder, as the images are 28 pixels at the short side" in said
    assert "augment: size = 28, shift = 3, flip = false" in said
    assert "as there are 18 training images of 2 classes: baseline.optim: batch_size = 32" in said

    other = plan(ltb, root, "--set", "augment.size=56", "--recipe", "glyphs-lt")
    rows = {tuple(cell.strip() for cell in line.split("│")[1:4]) for line in other.out.splitlines() if "│" in line}
    assert ("augment.size", "56", "--set") in rows
    assert ("augment.shift", "2", "recipe baseline.toml of glyphs-lt") in rows
    assert "batch_size" not in other.err


def test_small_images_are_trained_at_their_own_size(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", (28, 28), "L")
    shorter = ["--set", "baseline.optim.epochs=1", "--set", "backbone.kwargs.widths=[16,16,16,16]"]
    done = ltb("run", "-m", "baseline", "-d", "folder", "--data-root", root, *shorter, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["config"]["augment"]["size"] == 28
    assert answer["records"][0]["track"]["resolution"] == 28
