"""Baseline: one classifier over all classes, cross entropy, instance-balanced sampling (Sec. 3.1 and 4)."""

from pathlib import Path

from pydantic import Field

from ltbench.backbones.checkpoints import load_checkpoint, load_classifier
from ltbench.method import Member, OneClassifier


class Baseline(OneClassifier):
    """:class:`ltbench.method.OneClassifier` as it is, or started from a checkpoint."""

    class Config(OneClassifier.Config):
        checkpoint: Path | None = Field(
            None,
            description="start from the backbone and the classifier in this file; optim.epochs = 0 uses them as they are",
        )

    def start(self, member: Member) -> None:
        if self.config.checkpoint is not None:
            path = self.config.checkpoint
            load_classifier(member.backbone, member.head, load_checkpoint(path), path)
