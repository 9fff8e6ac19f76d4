"""What is said of a sample must not depend on the samples beside it: a few are asked about again, among others.

The paper's protocol, like the field's, measures a classifier of single images. A head that normalises by its batch, or a
fuser that looks at other rows, has seen more of the test split than one image of it. Such a method or fuser says
``transductive=True`` in its spec and is ranked in a track of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ltbench.data.base import Split
from ltbench.engine.evaluation.inference import FeatureStore, apply_head
from ltbench.engine.evaluation.order import changed_predictions, drawn_order
from ltbench.engine.machine.loading import read
from ltbench.errors import PluginError
from ltbench.method import Member

FEW = 127
"""Samples of a split that a member is asked about again."""

BATCH = 7
"""Samples of a batch then."""

LOGITS_TOLERANCE = {"fp32": 1e-2, "bf16": 5e-2, "fp16": 5e-2}
"""Largest difference of logits by precision, relative to the largest one. The operations of another batch size, or of
another device whose features are in the cache, round otherwise: by 2^-11 where a GPU multiplies in TF32, 2^-8 in bfloat16."""

PREDICTIONS_TOLERANCE = {"fp32": 0.03, "bf16": 0.1, "fp16": 0.1}
"""Largest share of predictions that may differ: a common offset of the logits hides a difference, a prediction does not."""


class FewSamples:
    """Drawn samples of a split, read once: whatever a member makes of them in batches of any size.

    Args:
        name: of the split.
        store: of the split's features, which says what is looked at of each image.
    """

    def __init__(self, name: str, split: Split, store: FeatureStore) -> None:
        self.name, self.compute = name, store.compute
        self.chosen = drawn_order(store.fingerprint, f"{name}, asked again", len(split))[:FEW]
        samples = self.chosen.tolist()
        self._seen = [(view, read(split, samples, view.cut).images) for view in store.views(split)]

    def __len__(self) -> int:
        return len(self.chosen)

    @torch.inference_mode()
    def logits(self, member: Member, batch_size: int) -> Tensor:
        """float32[n, K] on the CPU, of the samples ``chosen`` int64[n]: the mean over the views. The member is left in eval
        mode."""
        member.backbone.eval()
        batches = torch.arange(len(self)).split(batch_size)
        return torch.cat([torch.stack(self._of_views(member, places)).mean(dim=0) for places in batches])

    def _of_views(self, member: Member, places: Tensor) -> list[Tensor]:
        logits = []
        for view, read_images in self._seen:
            images = view.prepare(self.compute.images(read_images[places]), self.chosen[places])
            with self.compute.autocast():
                features = member.backbone(images)
            logits.append(apply_head(member.head, features.float(), self.compute))
        return logits


def check_members(
    method: str, members: Sequence[Member], few: FewSamples, logits: Sequence[Tensor] | None = None
) -> None:
    """Compare each member's logits for a few samples with those that it gives in small batches.

    Args:
        logits: float32[n, K] of each member for ``few.chosen``, however they were computed; by default in one batch.

    Raises:
        PluginError: one answers otherwise in another batch.
    """
    small = max(1, min(BATCH, len(few) // 2))
    for position, member in enumerate(members):
        expected = few.logits(member, len(few)) if logits is None else logits[position]
        if differ(few.logits(member, small), expected, few.compute.precision):
            raise PluginError(
                f"method '{method}': the logits of member '{member.name}' for a {few.name} sample depend on the other samples "
                "of its batch, on their order or on chance. A member answers for each image alone, in eval mode; or "
                "declare MethodSpec(transductive=True), which is ranked in a track of its own."
            )


def differ(found: Tensor, expected: Tensor, precision: str) -> bool:
    """Whether two computations of the same logits float[n, K] differ by more than rounding, with or without their row means."""
    tolerance = LOGITS_TOLERANCE[precision]
    centred = [logits - logits.mean(dim=1, keepdim=True) for logits in (found, expected)]
    near = all(
        bool((one - other).abs().max() <= tolerance * other.abs().max()) for one, other in ((found, expected), centred)
    )
    return not near or changed_predictions(found, expected) > PREDICTIONS_TOLERANCE[precision]
