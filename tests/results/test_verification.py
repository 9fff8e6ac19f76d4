"""``verify`` recomputes what can be recomputed and says what cannot."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ltbench.results.record import Record, logits_digest
from ltbench.results.store import save
from ltbench.results.verification import Finding, verify

from .records import record

LOGITS = {
    split: {"experts/all": np.random.default_rng(size).normal(size=(size, 6)).astype(np.float32)}
    for split, size in (("val", 60), ("test", 120))
}


@pytest.fixture
def made() -> Record:
    return record(logits_sha256={split: logits_digest(logits) for split, logits in LOGITS.items()})


def store_logits(cache: Path, made: Record, change: Callable[[np.ndarray], np.ndarray] = lambda logits: logits) -> None:
    """Lay the logits where the engine keeps those of a stage."""
    (key,) = [stage.key for stage in made.stages if stage.method == "experts"]
    folder = cache / "stages" / f"experts-{key[:20]}" / "logits"
    folder.mkdir(parents=True)
    for split, logits in LOGITS.items():
        labels = np.zeros(len(logits["experts/all"]), dtype=np.int64)
        tensors = {name: change(values) for name, values in logits.items()}
        save_file(tensors | {"labels": labels, "indices": labels}, folder / f"{split}.safetensors")


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def test_a_sound_record_with_its_logits_in_the_cache(tmp_path: Path, made: Record) -> None:
    store_logits(tmp_path / "cache", made)
    findings = verify(save(made, tmp_path), tmp_path / "cache")
    assert states(findings) == ["ok"] * 6
    assert "60 of 120 samples right" in findings[0].text


def test_without_the_logits_they_are_unknown_and_nothing_fails(tmp_path: Path, made: Record) -> None:
    findings = verify(save(made, tmp_path), tmp_path / "cache")
    assert states(findings) == ["ok"] * 4 + ["unknown"] * 2
    assert "not in the cache" in findings[-1].text


def test_other_logits_fail(tmp_path: Path, made: Record) -> None:
    store_logits(tmp_path / "cache", made, change=lambda logits: logits + np.float32(1e-3))
    findings = verify(save(made, tmp_path), tmp_path / "cache")
    assert states(findings) == ["ok"] * 4 + ["failed"] * 2
    assert "the record says" in findings[-1].text


def test_a_changed_number_fails(tmp_path: Path, made: Record) -> None:
    path = save(made, tmp_path)
    content = json.loads(path.read_text())
    content["metrics"]["paper"]["few"] += 0.5
    path.write_text(json.dumps(content))
    (finding,) = verify(path, tmp_path)
    assert finding.state == "failed"
    assert "metrics.paper.few is 50.5000, the counts give 50.0000" in finding.text


def test_a_renamed_file_fails(tmp_path: Path, made: Record) -> None:
    path = save(made, tmp_path)
    findings = verify(path.rename(path.with_name("best.json")), tmp_path)
    assert [finding.text for finding in findings if finding.state == "failed"] == [
        f"the file should be called {made.name}.json"
    ]
