"""Logits of trained stages: all that have none yet are evaluated together, each split read once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltbench.data.base import Dataset
from ltbench.data.guard import no_test_split
from ltbench.engine.evaluation.independence import FewSamples, check_members
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.machine.compute import Compute
from ltbench.members import MemberLogits
from ltbench.method import Member
from ltbench.registry.manager import plugin_code, plugins
from ltbench.results.logits import LogitsFolder, SplitLogits, write_logits

if TYPE_CHECKING:
    from ltbench.results.stage import Stage

Trained = Sequence[tuple["Stage", Sequence[Member]]]
"""Stages, each with its trained members."""


class StageLogits:
    """Evaluates the members of stages on validation and test. Only the engine holds one: it leads to the test split.

    Args:
        name: the dataset's, for the folders of logits.
        features: kept features, for validation and for test.
    """

    def __init__(self, dataset: Dataset, name: str, compute: Compute, features: Mapping[str, FeatureStore]) -> None:
        self.dataset, self.name, self.compute, self.features = dataset, name, compute, features

    def write(self, trained: Trained) -> None:
        """The folder ``logits`` of each stage, from its trained members: one pass over each split for all of them.

        Raises:
            PluginError: a member's logits for a sample depend on others, and its method does not say so.
        """
        splits = {name: self._of_split(name, trained) for name in self.features}
        about = {"name": self.name, "fingerprint": self.dataset.fingerprint}
        if not self.compute.is_main:
            return
        for stage, _ in trained:
            val, test = (splits[name][stage.method] for name in ("val", "test"))
            content = LogitsFolder(self.dataset.num_classes, self.dataset.train_counts, val, test, about)
            write_logits(stage.logits, content, stage.of_logits)

    def _of_split(self, name: str, trained: Trained) -> dict[str, SplitLogits]:
        """Method -> its members' logits, which do not depend on how the samples were put into batches."""
        methods = ", ".join(f"'{stage.method}'" for stage, _ in trained)
        with plugin_code("dataset", self.name, f"reading the split '{name}'"):
            data = self.dataset.split(name)
        store, found = self.features[name], {}
        with no_test_split(f"members of {methods} are evaluated"):
            answers = iter(store.logits([member for _, own in trained for member in own], name, data))
            few = FewSamples(name, data, store)
            for stage, own in trained:
                logits = [next(answers) for _ in own]
                if not plugins().methods.get(stage.method).spec.transductive:
                    check_members(stage.method, own, few, [values[few.chosen] for values in logits])
                rows = [_named(stage.method, member, values) for member, values in zip(own, logits, strict=True)]
                found[stage.method] = SplitLogits(rows, data.labels, torch.arange(len(data)))
        return found


def _named(method: str, member: Member, logits: Tensor) -> MemberLogits:
    return MemberLogits(f"{method}/{member.name}", method, member.classes, member.outside, logits)
