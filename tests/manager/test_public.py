"""``import ltbench``: the names of the public interface."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ltbench
from ltbench.errors import UsageError
from ltbench.registry import manager
from ltbench.registry.discovery import Candidate

from .modules import having


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins that ltbench ships, whether or not it is installed here."""
    import ltbench_datasets
    import ltbench_fusers
    import ltbench_methods

    def candidates() -> list[Candidate]:
        modules = {"datasets": ltbench_datasets, "methods": ltbench_methods, "fusers": ltbench_fusers}
        return [having(name, "ltbench", **vars(module)) for name, module in modules.items()]

    monkeypatch.setattr(manager, "from_entry_points", candidates)
    monkeypatch.setattr(manager, "_loaded", None)


def test_every_public_name_is_there() -> None:
    for name in set(ltbench.__all__) - {"__version__"}:
        assert getattr(ltbench, name) is not None
        assert name in dir(ltbench)
    with pytest.raises(AttributeError, match="no attribute 'get_metod'"):
        _ = ltbench.get_metod  # type: ignore[attr-defined]


def test_a_fuser_from_anywhere_fuses_logits_from_anywhere() -> None:
    first = ltbench.MemberLogits("a", "a", [0, 1], "none", torch.tensor([[0.0, 0.0]]))  # type: ignore[arg-type]
    second = ltbench.MemberLogits("b", "b", [0, 1], "none", torch.tensor([[3.0, 3.0]]).log())  # type: ignore[arg-type]
    log_q = ltbench.get_fuser("soft", num_classes=2).log_posterior([first, second])
    assert torch.allclose(log_q.exp(), torch.tensor([[0.5, 0.5]]))


def test_a_method_takes_its_hyperparameters() -> None:
    assert ltbench.get_method("baseline").config.optim.lr == 0.2
    assert ltbench.get_method("baseline", optim={"lr": 0.5, "epochs": 1}).config.optim.lr == 0.5


def test_a_dataset_takes_a_root_and_options(tmp_path: Path) -> None:
    dataset = ltbench.get_dataset("glyphs-lt", root=str(tmp_path), num_classes=4)
    assert dataset.root == tmp_path
    assert dataset.num_classes == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ltbench.get_method("basline"), "unknown method 'basline'. Did you mean 'baseline'"),
        (
            lambda: ltbench.get_method("baseline", optm=3),
            r"optm = 3 \(from get_method\('baseline'\)\): no such key. Did you mean",
        ),
        (lambda: ltbench.get_method("baseline", optim={"lr": -1}), r"optim.lr = -1 .*: expected a number > 0"),
        (
            lambda: ltbench.get_fuser("joint", 3, l2=-1.0),
            r"l2 = -1.0 \(from get_fuser\('joint'\)\): expected a number > 0",
        ),
        (lambda: ltbench.get_dataset("glyphs-lt", num_classes="many"), "num_classes = 'many' .*: expected an integer"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
