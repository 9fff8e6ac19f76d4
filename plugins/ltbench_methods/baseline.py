"""Baseline: one classifier over all classes, cross entropy, instance-balanced sampling (Sec. 3.1 and 4)."""

from pathlib import Path

from pydantic import Field

from ltbench.backbones import load_checkpoint, load_exactly
from ltbench.errors import DataError
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
            self._start_from(member, self.config.checkpoint)

    @staticmethod
    def _start_from(member: Member, path: Path) -> None:
        weights = load_checkpoint(path)
        head = next((name for name in HEAD_NAMES if f"{name}.weight" in weights), None)
        if head is None:
            raise DataError(
                f"checkpoint {path} holds no classifier ({', '.join(HEAD_NAMES)}); backbone.checkpoint takes a backbone alone."
            )
        load_exactly(member.backbone.trunk, weights, path)
        if member.backbone.projection is not None:
            load_exactly(member.backbone.projection, weights, path, "projection.")
        load_exactly(member.head, weights, path, f"{head}.")


HEAD_NAMES = ("fc", "head", "head.fc", "classifier", "linear")
"""What published checkpoints call their classifier."""
