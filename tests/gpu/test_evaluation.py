"""A GPU answers as a CPU does with the same weights; ensembles are evaluated there in one pass, and pass their second look."""

import json
import shutil
from pathlib import Path

import pytest
from tiny import TINY_EXPERTS, settings
from trials import logits, stage

from .runs import HALF, SETTINGS, Ltb, assert_close, on, trained

SHARE = 0.02
"""Of the logits' standard deviation: a GPU's convolutions multiply tf32."""


def test_what_a_cpu_trained_answers_alike(
    ltb: Ltb, any_device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings(**SETTINGS)
    cache = trained(ltb, tmp_path / "cache", monkeypatch, *run, *on("cpu", "fp32"))
    expected, file = logits(cache, "baseline"), stage(cache, "baseline") / "weights.safetensors"
    before = file.stat().st_mtime_ns
    for folder in (stage(cache, "baseline") / "logits", cache / "features", cache / "evaluations"):
        shutil.rmtree(folder)
    trained(ltb, cache, monkeypatch, *run, *on(any_device, "fp32", eval_batch_size=11))
    assert file.stat().st_mtime_ns == before, "it is not trained again"
    assert_close(logits(cache, "baseline"), expected, SHARE)


@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_an_ensemble_is_trained_evaluated_and_fused(ltb: Ltb, device: str, precision: str, own_cache: Path) -> None:
    """Experts whose lower blocks are the baseline's; each member is asked again about some images, in batches of 7."""
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("fp16 needs an accelerator")
    done = ltb("run", "-m", "experts", "-f", "joint", *TINY_EXPERTS, *on(device, precision), "--json")
    assert done.code == 0, done.err
    records = json.loads(done.out)["records"]
    assert {record["fuser"] for record in records} >= {"none", "joint"}
    assert {record["environment"]["precision"] for record in records} == {precision}
