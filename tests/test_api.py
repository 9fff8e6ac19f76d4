"""The public Python interface, as a notebook would use it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import BASELINE, EXPERTS, OPTIONS, WIDTHS

import ltbench
from ltbench import RunConfig
from ltbench.errors import UsageError

TINY = {
    "dataset": {"name": "glyphs-lt", "options": OPTIONS},
    "backbone": {"name": "resnet10", "kwargs": {"widths": WIDTHS}},
}


def test_a_run_answers_with_the_record_that_was_asked_for() -> None:
    alone = ltbench.run(RunConfig(methods=("baseline",), settings={"baseline": BASELINE}, **TINY))
    assert (alone.methods, alone.fuser, alone.role) == (("baseline",), "none", "reference")
    calibrated = ltbench.run(
        RunConfig(methods=("baseline",), fusers=("joint",), settings={"baseline": BASELINE}, **TINY)
    )
    assert (calibrated.methods, calibrated.fuser) == (("baseline",), "joint")
    settings = {"baseline": BASELINE, "experts": EXPERTS}
    several = ltbench.run(RunConfig(methods=("experts",), fusers=("kl", "soft"), settings=settings, **TINY))
    assert (several.methods, several.fuser) == (("experts",), "kl")


def test_all_records_of_a_run_come_with_their_roles() -> None:
    settings = {"baseline": BASELINE, "experts": EXPERTS}
    config = RunConfig(methods=("baseline", "experts"), fusers=("kl", "soft"), settings=settings, **TINY)
    records = ltbench.run_records(config)
    assert [(record.methods, record.fuser, record.role) for record in records] == [
        (("baseline",), "none", "reference"),
        (("baseline",), "joint", "control"),
        (("baseline", "experts"), "kl", "run"),
        (("baseline", "experts"), "soft", "run"),
    ]
    assert ltbench.run(config) == records[2]
    (only,) = ltbench.run_records(RunConfig(methods=("baseline",), controls=False, settings=settings, **TINY))
    assert only == records[0]


PLUGIN = """
from ltbench.plugin import FuserSpec, hookimpl
from ltbench.fuser import Fuser

@hookimpl
def ltbench_fusers():
    yield FuserSpec("first", target="first_alone:First")

@hookimpl
def ltbench_after_record(run, record):
    print("heard of", record.fuser)

class First(Fuser):
    def fuse(self, members):
        return members[0].logits.log_softmax(dim=1)
"""


def test_plugin_files_are_loaded_for_the_time_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "first_alone.py").write_text(PLUGIN)
    asked = {"methods": ("baseline",), "fusers": ("first",), "settings": {"baseline": BASELINE}, **TINY}
    config = RunConfig(plugins=[tmp_path / "first_alone.py"], **asked)
    record = ltbench.run(config)
    assert record.fuser == "first"
    assert "heard of first" in capsys.readouterr().out
    assert "first-alone.py" in {name.replace("_", "-") for name in record.environment.plugins}
    with pytest.raises(UsageError, match="unknown fuser 'first'"):
        ltbench.run(RunConfig(**asked))
    ltbench.run(RunConfig(methods=("baseline",), settings={"baseline": BASELINE}, **TINY))
    assert "heard of" not in capsys.readouterr().out


def test_where_a_plugin_file_lies_is_in_no_record(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "first_alone.py").write_text(PLUGIN)
    config = RunConfig(
        plugins=[tmp_path / "here" / "first_alone.py"], methods=("baseline",), settings={"baseline": BASELINE}, **TINY
    )
    record = ltbench.run(config)
    assert "plugins" not in record.config
    assert str(tmp_path) not in record.model_dump_json()
    assert record.config_hash == ltbench.run(config.model_copy(update={"plugins": ()})).config_hash


def test_a_plugin_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="plugin file .*nowhere.py: no such file"):
        ltbench.run(RunConfig(methods=("baseline",), plugins=["nowhere.py"]))


def test_records_are_kept_and_read_back_as_a_table(tmp_path) -> None:
    config = RunConfig(methods=("baseline",), fusers=("joint",), settings={"baseline": BASELINE}, **TINY)
    record = ltbench.run(config, results=tmp_path)
    table = ltbench.load_results(tmp_path)
    assert sorted(table["fuser"]) == ["joint", "none"]
    row = table[table["fuser"] == "joint"].iloc[0]
    assert row["all"] == record.metrics["paper"]["all"]


def test_a_run_that_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="unknown method 'expert'. Did you mean 'experts'"):
        ltbench.run(RunConfig(methods=("expert",)))
    with pytest.raises(UsageError, match="no such key. Did you mean 'baseline.optim.lr'"):
        ltbench.run(RunConfig(methods=("baseline",), settings={"baseline": {"lr": 1}}, **TINY))


def test_logits_from_anywhere_are_fused_and_measured() -> None:
    """numpy arrays in, percentages out; two partial members that are sure of themselves and right."""
    rng = np.random.default_rng(0)
    counts, labels = [150, 120, 40, 10], np.repeat(np.arange(4), 25)

    def members() -> list[ltbench.MemberLogits]:
        made = []
        for name, classes in (("head", [0, 1]), ("tail", [2, 3])):
            logits = rng.normal(size=(100, 3))
            logits[:, :2] += 5 * (labels[:, None] == np.array(classes))
            logits[:, 2] += 5 * ~np.isin(labels, classes)
            made.append(ltbench.MemberLogits(name, "mine", classes, "reject", logits))
        return made

    fuser = ltbench.get_fuser("joint", num_classes=4)
    fuser.fit(members(), labels)
    log_q = fuser.log_posterior(members())
    assert log_q.shape == (100, 4)
    assert torch.allclose(log_q.exp().sum(dim=1), torch.ones(100))
    accuracy = ltbench.fold_accuracy(log_q.argmax(dim=1), labels, counts)
    assert set(accuracy) == {"many", "medium", "few", "all"}
    assert accuracy["all"] > 90
    assert accuracy["all"] == pytest.approx(100 * (log_q.argmax(dim=1).numpy() == labels).mean())


def test_things_by_name_have_their_hyperparameters() -> None:
    assert ltbench.get_fuser("joint", num_classes=3, l2=0.5).config.l2 == 0.5
    method = ltbench.get_method("experts", reject_ratio=8.0, optim={"lr": 0.3})
    assert (method.config.reject_ratio, method.config.optim.lr) == (8.0, 0.3)
    dataset = ltbench.get_dataset("glyphs-lt", **OPTIONS)
    assert dataset.num_classes == 9
    assert len(dataset.split("test")) == 90
    with pytest.raises(UsageError, match="Did you mean 'reject_ratio'"):
        ltbench.get_method("experts", reject_rate=8.0)
    with pytest.raises(UsageError, match="Did you mean 'joint'"):
        ltbench.get_fuser("joit", num_classes=3)


def test_every_public_name_is_there() -> None:
    for name in ltbench.__all__:
        assert getattr(ltbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ltbench.nonsense
