"""Logits of trained stages: all that have none yet are evaluated together, each split read once."""

from collections.abc import Mapping, Sequence

import torch

from ltbench.data.base import Dataset
from ltbench.engine.compute import Compute
from ltbench.engine.inference import FeatureStore, apply_head
from ltbench.engine.stages import Stage
from ltbench.fuser import MemberLogits
from ltbench.logits import LogitsFolder, SplitLogits, write_logits
from ltbench.manager import plugin_code
from ltbench.method import Member

Trained = Sequence[tuple[Stage, Sequence[Member]]]
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
        """The folder ``logits`` of each stage, from its trained members: one pass over each split for all of them."""
        splits = {name: self._of_split(name, trained) for name in self.features}
        about = {"name": self.name, "fingerprint": self.dataset.fingerprint}
        if not self.compute.is_main:
            return
        for stage, _ in trained:
            val, test = (splits[name][stage.method] for name in ("val", "test"))
            content = LogitsFolder(self.dataset.num_classes, self.dataset.train_counts, val, test, about)
            write_logits(stage.logits, content, stage.of("logits"))

    def _of_split(self, name: str, trained: Trained) -> dict[str, SplitLogits]:
        """Method -> its members' logits."""
        backbones = [member.backbone for _, own in trained for member in own]
        with plugin_code("dataset", self.name, f"reading the split '{name}'"):
            data = self.dataset.split(name)
            features = iter(self.features[name].get_all(backbones, name, data))
        found = {}
        for stage, own in trained:
            rows = [
                MemberLogits(
                    f"{stage.method}/{member.name}",
                    stage.method,
                    member.classes,
                    member.outside,
                    apply_head(member.head, next(features), self.compute),
                )
                for member in own
            ]
            found[stage.method] = SplitLogits(rows, data.labels, torch.arange(len(data)))
        return found
