"""What an evaluation measures beside accuracy: confidence, calibration error and likelihood, against numpy and scipy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.special import log_softmax
from tiny import TINY

import ltbench
from ltbench.classes import classes_of
from ltbench.engine.evaluation.evaluate import Measured, SingleMember, make_fuser, refuse_unfused
from ltbench.errors import LtbenchError, UsageError
from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import LOG_ZERO
from ltbench.results.logits import LogitsFolder, SplitLogits

CLASSES = 4


def folder_of(logits: np.ndarray, labels: np.ndarray) -> LogitsFolder:
    """One full member with these logits float[N, 4] on both splits."""
    member = MemberLogits("full", "mine", torch.arange(CLASSES), "none", torch.tensor(logits, dtype=torch.float32))
    split = SplitLogits([member], torch.tensor(labels), torch.arange(len(labels)))
    return LogitsFolder(CLASSES, np.full(CLASSES, 10), split, split)


def error_by_bins(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Eq. 3 of Guo et al. with 15 bins, in percent."""
    edges = np.arange(1, 15) / 15
    position = np.searchsorted(edges, confidence, side="right")
    own = [position == number for number in range(15)]
    return 100 * sum(rows.mean() * abs(correct[rows].mean() - confidence[rows].mean()) for rows in own if rows.any())


drawn = st.tuples(st.integers(0, 2**31), st.integers(1, 50), st.sampled_from([0.1, 1.0, 5.0]))


@given(drawn)
def test_likelihood_confidence_and_hits_are_those_of_the_softmax(case: tuple[int, int, float]) -> None:
    seed, samples, scale = case
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=scale, size=(samples, CLASSES)).astype(np.float32)
    labels = rng.integers(CLASSES, size=samples)
    measured = Measured(SingleMember(CLASSES), folder_of(logits, labels))
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    assert measured.nll == pytest.approx(
        -np.mean([row[label] for row, label in zip(log_p, labels, strict=True)]), abs=1e-5
    )
    assert measured.confidence == pytest.approx(np.exp(log_p).max(axis=1), abs=1e-5)
    assert measured.correct.tolist() == (logits.argmax(axis=1) == labels).tolist()


def test_the_likelihood_by_hand() -> None:
    """Probabilities 1/2 and 1/8 of the labels: (ln 2 + ln 8) / 2 nats, not the ln of a mean."""
    logits = np.log([[1 / 2, 1 / 4, 1 / 8, 1 / 8], [1 / 2, 1 / 4, 1 / 8, 1 / 8]])
    assert Measured(SingleMember(CLASSES), folder_of(logits, np.array([0, 3]))).nll == pytest.approx(2 * np.log(2))


def test_the_seconds_of_fitting_and_of_fusing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    measured = Measured(SingleMember(CLASSES), folder_of(np.zeros((3, CLASSES)), np.zeros(3, dtype=int)))
    assert measured.seconds == {"fuser_fit": 2.0, "fuser_apply": 5.0}


class Fixed(Fuser):
    """Answers the logits it is shown."""

    def fuse(self, members: list[MemberLogits]) -> torch.Tensor:
        return members[0].logits


def test_a_label_of_no_probability_costs_what_stands_for_zero() -> None:
    log_q = np.array([[0.0, LOG_ZERO, LOG_ZERO, LOG_ZERO]] * 4)
    measured = Measured(Fixed(CLASSES), folder_of(log_q, np.array([0, 0, 0, 2])))
    assert measured.nll == pytest.approx(-LOG_ZERO / 4)
    assert measured.confidence.tolist() == [1.0] * 4


@pytest.mark.parametrize("excess", [1e-3, -1e-3, np.log(1e-30)])
def test_rows_that_are_no_distribution_are_refused(excess: float) -> None:
    """One bad row among thousands, wherever it stands."""
    for row in (0, 8191, 8192, 9999):
        log_q = np.full((10_000, CLASSES), np.log(1 / CLASSES))
        log_q[row] += excess
        with pytest.raises(LtbenchError, match=r"fuser Fixed answered rows that are no distribution \(sums from"):
            Measured(Fixed(CLASSES), folder_of(log_q, np.zeros(10_000, dtype=int)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_no_number_is_refused(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    log_q = torch.full((10, CLASSES), np.log(1 / CLASSES))
    log_q[3, 1] = value
    monkeypatch.setattr(Fixed, "fuse", lambda self, members: log_q)
    with pytest.raises(LtbenchError, match="fuser Fixed answered rows that are no distribution"):
        Measured(Fixed(CLASSES), folder_of(np.zeros((10, CLASSES)), np.zeros(10, dtype=int)))


@pytest.mark.parametrize("shape", [(10, CLASSES - 1), (10, CLASSES + 1), (10,)])
def test_an_answer_of_another_shape_is_refused(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fixed, "fuse", lambda self, members: torch.zeros(shape))
    with pytest.raises(LtbenchError, match=r"a posterior over 4 classes was expected"):
        Measured(Fixed(CLASSES), folder_of(np.zeros((10, CLASSES)), np.zeros(10, dtype=int)))


def test_members_that_no_fuser_joins_are_refused() -> None:
    content = folder_of(np.zeros((3, CLASSES)), np.zeros(3, dtype=int))
    content.val.members.append(content.val.members[0])
    content.test.members[1:] = [MemberLogits("other", "mine", torch.arange(CLASSES), "none", torch.zeros(3, CLASSES))]
    with pytest.raises(UsageError, match=r"members full, other must be fused.*--fuser \(kl, soft, "):
        Measured(make_fuser("none", classes_of([10] * CLASSES)), content)


@pytest.mark.parametrize(
    ("names", "outside", "complaint"),
    [
        (["a", "b"], ["none", "zero"], r"^members a, b must be fused: each answers on its own\. Choose"),
        (["a", "b"], ["reject", "zero"], r"^members a, b .* on its own, none over all classes\. Choose"),
        (["a"], ["reject"], r"^member a covers some of the classes alone, and must be fused\. Choose"),
    ],
)
def test_why_members_make_no_posterior(names: list[str], outside: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        refuse_unfused(names, outside)
    refuse_unfused(["a"], ["none"])


@pytest.mark.parametrize("name", ["none", "logit-adjustment"])
def test_a_fuser_knows_the_classes_it_is_made_for(name: str) -> None:
    classes = classes_of([10] * CLASSES)
    fuser = make_fuser(name, classes)
    assert fuser.classes is classes
    assert fuser.num_classes == CLASSES


def test_a_record_holds_the_values_of_its_logits(ltb, own_cache: Path, tmp_path: Path) -> None:
    """From the command line to the file: recomputed with numpy from the stored logits."""
    done = ltb("run", "-m", "baseline", *TINY, "--results", tmp_path / "results", "--json")
    assert done.code == 0, done.err
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/*--none--*.json"))
    (stored,) = own_cache.glob("stages/*/logits/test.safetensors")
    tensors = load_file(stored)
    labels = tensors["labels"]
    (logits,) = (values for name, values in tensors.items() if values.ndim == 2)
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    correct = log_p.argmax(axis=1) == labels
    confidence = np.exp(log_p.max(axis=1))
    assert len(set(np.minimum((confidence * 15).astype(int), 14))) > 2
    assert record["calibration"]["nll"] == pytest.approx(-log_p[np.arange(len(labels)), labels].mean(), abs=2e-4)
    assert record["calibration"]["ece"] == pytest.approx(error_by_bins(confidence, correct), abs=2e-3)
    assert sum(record["per_class_correct"]) == correct.sum()
    table = ltbench.load_results(tmp_path / "results")
    assert table.loc[table["fuser"] == "none", "ece"].tolist() == [record["calibration"]["ece"]]
