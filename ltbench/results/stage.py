"""A trained stage as a folder that is read: its report, its weights, its logits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ltbench.common.sealed import Damaged, read_json
from ltbench.common.sealed_tensors import read_tensors
from ltbench.data.augmentation.views import TestViews
from ltbench.results.logits import check_complete


@dataclass(frozen=True)
class Stage:
    """A stage by its key. It is published when it is trained; its logits follow.

    Attributes:
        method: its name.
        key: sha256 (hex) of everything that decides the outcome.
        inputs: what the key was made of.
        folder: where it lies once trained.
        views: what its logits look at; those of other views lie beside them.
    """

    method: str
    key: str
    inputs: dict[str, Any]
    folder: Path
    views: TestViews = "centre"

    @property
    def done(self) -> bool:
        """Trained. Its weights are read, and checked, by whoever needs them."""
        try:
            self.report()
        except Damaged:
            return False
        return True

    @property
    def logits(self) -> Path:
        """The folder of its members' logits."""
        return self.folder / ("logits" if self.views == "centre" else f"logits-{self.views}")

    @property
    def of_logits(self) -> str:
        """What its logits say they are."""
        return self.of("logits" if self.views == "centre" else f"logits ({self.views})")

    @property
    def evaluated(self) -> bool:
        """Its logits are there, whatever is in them."""
        try:
            check_complete(self.logits)
        except Damaged:
            return False
        return True

    @property
    def weights(self) -> Path:
        """The file of its weights."""
        return self.folder / "weights.safetensors"

    def of(self, what: str) -> str:
        """What a file of this stage says it is."""
        return f"{what} of stage {self.method} {self.key}"

    def report(self) -> dict[str, Any]:
        """``stage.json``: key, inputs, seconds, members, the seal of the weights.

        Raises:
            Damaged: it is not there or not what was written.
            DataError: it cannot be read.
        """
        return read_json(self.folder / "stage.json", self.of("report"))

    def read_weights(self) -> dict[str, Tensor]:
        """Weights by name, float[...] or int64[...] as its modules have them; checked. Raises as :meth:`report`."""
        found = read_tensors(self.weights, self.of("weights"))
        if found.sha256 != self.report()["weights_sha256"]:
            raise Damaged(self.weights, "is damaged: stage.json was written with other weights")
        return found.tensors

    def check(self, weights: bool) -> None:
        """Whether it can be used; its weights are looked at where they are to be read. Raises as :meth:`report`."""
        self.report()
        if weights:
            self.read_weights()
