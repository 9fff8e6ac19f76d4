"""``compute.compile``: the same training, compiled."""

from pathlib import Path

import pytest
from tiny import settings
from trials import losses

from ltbench.config import ComputeConfig

from .runs import OF_FLOAT32, SETTINGS, Ltb, on, trained, weights


@pytest.mark.skipif("compile" not in ComputeConfig.model_fields, reason="this ltbench has no compute.compile")
def test_compiled_it_trains_the_same(ltb: Ltb, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settings(**SETTINGS)
    plain = trained(ltb, tmp_path / "plain", monkeypatch, *run, *on(device, "fp32"))
    found = trained(ltb, tmp_path / "compiled", monkeypatch, *run, *on(device, "fp32", compile=True))
    for (_, loss), (_, expected) in zip(losses(found, "baseline"), losses(plain, "baseline"), strict=True):
        assert loss == pytest.approx(expected, rel=OF_FLOAT32["fp32"])
    assert weights(found, "baseline").keys() == weights(plain, "baseline").keys()
