"""Several views of an image: what they are, that their logits are averaged, kept apart, and checked like those of one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import DATA, TINY, in_subprocess, settings
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as reference

from ltbench.config import EvaluationConfig, RunConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.cuts import Cut
from ltbench.data.augmentation.views import LOOKS, Look
from ltbench.data.base import Batch
from ltbench.engine.evaluation.independence import FewSamples, check_members
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.workbench import Workbench, make_feature_store
from ltbench.errors import PluginError, UsageError
from ltbench.method import Member
from ltbench.results.logits import read_logits
from ltbench.testing.method_contract import Patterns, workbench

SEVERAL = ["flip", "five_crops", "five_crops_flip"]


def seen(images: Tensor, views: str) -> list[Tensor]:
    """By torchvision: the views of 16 x 16 images uint8[B, 1, 16, 16] at their own size, in 0..1."""
    images = images / 255
    if views == "flip":
        return [images, reference.horizontal_flip(images)]
    crops = list(reference.five_crop(reference.resize(images, 18, antialias=True), 16))
    return crops if views == "five_crops" else [*crops, *map(reference.horizontal_flip, crops)]


def bench_of(folder: Path, views: str) -> Workbench:
    bench = workbench(folder)
    old = bench.features
    store = FeatureStore(
        old.folder, old.augment, old.size, old.compute, 0, old.reporter, old.identity, old.fingerprint, LOOKS[views]
    )
    return replace(bench, features=store)


class Curved(nn.Module):
    """No linear head: the mean of its logits is not its logits of the mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(32, 6)

    def forward(self, features: Tensor) -> Tensor:
        return 3 * self.inner(features).square()


def members(bench: Workbench, *heads: nn.Module) -> list[Member]:
    """Two members of different backbones, and those of the heads given on a third one."""
    made = [Member(f"own {n}", torch.arange(6), bench.new_backbone(f"toy {n}"), nn.Linear(32, 6)) for n in range(2)]
    made += [Member(f"head {n}", torch.arange(6), bench.new_backbone("toy"), head) for n, head in enumerate(heads)]
    return made


# -- what is looked at


@pytest.mark.parametrize(("height", "width"), [(80, 100), (101, 90), (64, 64), (40, 56), (56, 56), (30, 20)])
def test_five_crops_are_torchvisions_of_images_of_any_size(height: int, width: int) -> None:
    images = torch.randint(256, (2, 3, height, width), dtype=torch.uint8)
    augment = Augment(AugmentConfig(size=56), (0.0,), (1.0,))
    expected = reference.five_crop(reference.resize(images / 255, 64, antialias=True), 56)
    found = [augment.look(images, look) for look in LOOKS["five_crops"]]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), atol=1e-5, rtol=0)
    mirrored = [augment.look(images, Look(look.crop, mirrored=True)) for look in LOOKS["five_crops"]]
    torch.testing.assert_close(torch.stack(mirrored), torch.stack(expected).flip(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(80, 100), (101, 90)])
def test_the_crop_in_the_middle_of_a_larger_image_is_the_plain_view(height: int, width: int) -> None:
    images = torch.randint(256, (2, 3, height, width), dtype=torch.uint8)
    augment = Augment(AugmentConfig(size=56), (0.0,), (1.0,))
    assert torch.equal(augment.look(images, Look("middle")), augment.plain(images))
    assert torch.equal(augment.look(images, Look()), augment.plain(images))


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (224, 224), (100, 120)])
def test_crops_of_files_are_the_boxes_that_torchvision_cuts_of_the_resized_image(height: int, width: int) -> None:
    """Resize(256), FiveCrop(224), in pixels of the image as it is stored; to a pixel of the resized one."""
    augment = Augment(AugmentConfig(size=224), (0.0,), (1.0,))
    scale = min(height, width) / 256
    tall, wide = height / scale, width / scale
    corners = [(0, 0), (0, wide - 224), (tall - 224, 0), (tall - 224, wide - 224), ((tall - 224) / 2, (wide - 224) / 2)]
    for look, (top, left) in zip(LOOKS["five_crops"], corners, strict=True):
        (box,) = augment.look_cut(look, 224).boxes(torch.tensor([[height, width]])).tolist()
        assert box == pytest.approx([top * scale, left * scale, 224 * scale, 224 * scale], abs=1e-6)


def test_a_name_says_how_many_different_views_there_are() -> None:
    assert {name: len(set(map(str, looks))) for name, looks in LOOKS.items()} == {
        "centre": 1,
        "flip": 2,
        "five_crops": 5,
        "five_crops_flip": 10,
    }


def test_images_too_small_for_five_crops_are_refused(tmp_path: Path) -> None:
    bench, dataset = workbench(tmp_path), Patterns()
    for size, views, refused in ((3, "five_crops", True), (3, "flip", False), (4, "five_crops_flip", False)):
        config = RunConfig(
            methods=("baseline",), augment=AugmentConfig(size=size), evaluation=EvaluationConfig(views=views)
        )
        if refused:
            with pytest.raises(UsageError, match="^evaluation.views = 'five_crops': in images of 3 pixels"):
                make_feature_store(tmp_path, config, dataset, bench.compute, bench.reporter)
        else:
            make_feature_store(tmp_path, config, dataset, bench.compute, bench.reporter)


# -- what becomes of them


@pytest.mark.parametrize("views", SEVERAL)
@pytest.mark.parametrize("split", ["val", "test"])
def test_logits_are_the_mean_of_those_of_the_views(tmp_path: Path, views: str, split: str) -> None:
    """Beside a computation image by image, of members on one backbone and on several."""
    bench, data = bench_of(tmp_path, views), Patterns().split(split)
    asked = members(bench, Curved(), nn.Linear(32, 6))
    found = bench.features.logits(asked, split, data)
    images = data.__getitems__(range(len(data))).images
    mean, std = Patterns.mean[0], Patterns.std[0]
    for one, logits in zip(asked, found, strict=True):
        one.module.eval()
        with torch.no_grad():
            each = [one.module((view - mean) / std) for view in seen(images, views)]
        torch.testing.assert_close(logits, sum(each) / len(each), atol=1e-4, rtol=1e-4)
    assert bench.features.passes == len(LOOKS[views]), "several backbones see a view in one pass"


@pytest.mark.parametrize("views", SEVERAL)
def test_a_few_samples_alone_get_the_same_logits(tmp_path: Path, views: str) -> None:
    bench = bench_of(tmp_path, views)
    asked, few = members(bench, Curved()), FewSamples("val", bench.val, bench.features)
    stored = [logits[few.chosen] for logits in bench.features.logits(asked, "val", bench.val)]
    check_members("toy", asked, few, stored)
    for one, logits in zip(asked, stored, strict=True):
        torch.testing.assert_close(few.logits(one, 1), logits, atol=1e-4, rtol=1e-4)
    plain = workbench(tmp_path).features.logits(asked, "val", bench.val)
    with pytest.raises(PluginError, match="depend on the other samples"):
        check_members("toy", asked, few, [logits[few.chosen] for logits in plain])


def test_a_head_that_needs_its_batch_is_found_under_views(tmp_path: Path) -> None:
    class Centred(Curved):
        def forward(self, features: Tensor) -> Tensor:
            return super().forward(features) - super().forward(features).mean(dim=0)

    bench = bench_of(tmp_path, "five_crops")
    asked, few = members(bench, Centred())[-1:], FewSamples("val", bench.val, bench.features)
    (stored,) = bench.features.logits(asked, "val", bench.val)
    with pytest.raises(PluginError, match="depend on the other samples"):
        check_members("toy", asked, few, [stored[few.chosen]])


def test_features_of_each_view_are_kept_apart(tmp_path: Path) -> None:
    first = bench_of(tmp_path, "five_crops_flip")
    asked = members(first, Curved())[-1:]
    expected = first.features.logits(asked, "val", first.val)
    assert first.features.passes == 10
    for views, passes in (("five_crops_flip", 0), ("five_crops", 0), ("flip", 2), ("centre", 0)):
        again = bench_of(tmp_path, views)
        (found,) = again.features.logits(asked, "val", again.val)
        assert again.features.passes == passes, views
        assert torch.equal(found, expected[0]) is (views == "five_crops_flip")
    plain = workbench(tmp_path)
    assert torch.equal(
        plain.features.get(asked[0].backbone, "val", plain.val), again.features.get(asked[0].backbone, "val", plain.val)
    )


class Stored:
    """Images of different sizes, cut when they are read; notes what is asked for."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.images = [torch.randint(256, (1, *size), dtype=torch.uint8) for size in sizes]
        self.labels = torch.zeros(len(sizes), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        raise AssertionError

    __getitems__ = __getitem__

    def cut(self, indices: Any, cut: Cut) -> Batch:
        made = []
        for index in indices:
            image = self.images[index]
            top, left, tall, wide = cut.boxes(torch.tensor([image.shape[1:]]))[0].round().int().tolist()
            part = image[:, top : top + tall, left : left + wide]
            made.append(reference.resize(part, [cut.size, cut.size], antialias=True))
        return Batch(torch.stack(made), self.labels[indices], torch.as_tensor(indices))


def test_images_that_are_cut_when_they_are_read_are_not_cut_again(tmp_path: Path) -> None:
    bench, split = bench_of(tmp_path, "five_crops_flip"), Stored([(18, 18), (18, 30), (40, 18), (18, 21)])
    (one,) = members(bench, Curved())[-1:]
    (found,) = bench.features.logits([one], "val", split)
    few = FewSamples("val", split, bench.features)
    check_members("toy", [one], few, [found[few.chosen]])
    one.module.eval()
    for image, logits in zip(split.images, found, strict=True):
        crops = list(reference.five_crop(image[None] / 255, 16))
        each = [(view - Patterns.mean[0]) / Patterns.std[0] for crop in crops for view in (crop, crop.flip(3))]
        with torch.no_grad():
            expected = sum(one.module(view)[0] for view in each) / 10
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


# -- a run


def answer(ltb: Any, *arguments: str) -> dict[str, Any]:
    done = ltb("run", "-m", "baseline", "-f", "joint", *TINY, "--json", *arguments)
    assert done.code == 0, done.err
    return json.loads(done.out)


FIVE = ["--set", "evaluation.views=five_crops"]


def test_a_run_keeps_the_logits_of_each_setting_and_a_track_of_its_own(
    ltb: Any, own_cache: Path, tmp_path: Path
) -> None:
    results = ["--results", str(tmp_path / "results")]
    plain = answer(ltb, *results)
    several = answer(ltb, *FIVE, *results)
    again = answer(ltb, *results)
    assert again["records"] == plain["records"], "nothing was trained, evaluated or mixed up"
    (stage,) = own_cache.glob("stages/baseline-*")
    assert {path.name for path in stage.glob("logits*")} == {"logits", "logits-five_crops"}
    folders = [read_logits(stage / name) for name in ("logits", "logits-five_crops")]
    for split in ("val", "test"):
        one, other = (getattr(folder, split).members[0].logits for folder in folders)
        assert one.shape == other.shape
        assert not torch.allclose(one, other, atol=1e-2), "fusers are fitted on the same views"
    for run, views in ((plain, "centre"), (several, "five_crops")):
        assert {record["track"]["test_views"] for record in run["records"]} == {views}
        assert {record["stages"][0]["key"] for record in run["records"]} == {plain["records"][0]["stages"][0]["key"]}
    board = ltb("leaderboard", *results)
    assert board.out.count("resnet10") == 2
    assert board.out.count("evaluated on five crops") == 1
    done = ltb("verify", str(tmp_path / "results"), "--strict")
    assert done.code == 0, done.out + done.err


def test_a_record_that_hides_its_views_is_found(ltb: Any, tmp_path: Path) -> None:
    answer(ltb, *FIVE, "--results", str(tmp_path))
    path = next(tmp_path.glob("glyphs-lt/baseline--none--*.json"))
    content = json.loads(path.read_text())
    content["track"]["test_views"] = "centre"
    path.write_text(json.dumps(content))
    done = ltb("verify", str(path))
    assert done.code == 1
    assert "track.test_views is 'centre', the settings give 'five_crops'" in done.out


def test_a_setting_at_its_default_leaves_a_row_as_it_was(ltb: Any) -> None:
    """Records of before the setting was there have no such table."""
    (record, *_) = answer(ltb)["records"]
    assert "evaluation" not in record["config"]
    (record, *_) = answer(ltb, *FIVE)["records"]
    assert record["config"]["evaluation"] == {"views": "five_crops"}


def test_a_dry_run_shows_it_and_a_wrong_one_is_refused(ltb: Any) -> None:
    done = ltb("run", "-m", "baseline", *TINY, *FIVE, "--dry-run")
    assert "evaluation.views" in done.out
    assert "five_crops" in done.out
    done = ltb("run", "-m", "baseline", *TINY, "--set", "evaluation.views=center", "--dry-run")
    assert done.code == 2
    assert "expected one of 'centre', 'flip', 'five_crops', 'five_crops_flip'" in done.complaint


def test_two_processes_evaluate_the_views_as_one_does(tmp_path: Path) -> None:
    """The same weights: those that two have trained, whose logits are then made again by one."""
    short = settings(compute={"eval_batch_size": 8}, baseline={"optim": {"epochs": 1, "batch_size": 64}})
    asked = ["run", "-m", "baseline", *DATA, *short, *FIVE, "--json"]
    done = in_subprocess([*asked, "--num-processes", "2"], tmp_path)
    assert done.code == 0, done.err
    (folder,) = tmp_path.glob("stages/baseline-*/logits-five_crops")
    expected = read_logits(folder)
    folder.rename(tmp_path / "of two")
    for path in (*tmp_path.glob("features/*"), *tmp_path.glob("evaluations/*")):
        path.unlink()
    done = in_subprocess(asked, tmp_path)
    assert done.code == 0, done.err
    found = read_logits(folder)
    for split in ("val", "test"):
        one, other = getattr(expected, split), getattr(found, split)
        torch.testing.assert_close(one.members[0].logits, other.members[0].logits, atol=1e-3, rtol=1e-3)
        assert torch.equal(one.labels, other.labels)
