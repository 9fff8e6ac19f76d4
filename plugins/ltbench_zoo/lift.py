"""LIFT: Shi et al., "Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts", ICML 2024.

A frozen vision transformer with an adapter in each block, a cosine classifier that starts from class embeddings, and the
logit-adjusted loss. Its five-crop test views are a setting of the run.
"""

from pathlib import Path
from typing import Literal, cast

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.errors import DataError, UsageError
from ltbench.method import Member, MethodContext, OneClassifier
from ltbench.training.optim import OptimConfig
from ltbench_zoo.adapters import blocks_of, insert, width_of
from ltbench_zoo.heads import CosineHead
from ltbench_zoo.weights import log_frequencies


class LIFT(OneClassifier):
    """Adapters and classifier learn; the network below stays as it is, to the bit. ``backbone.name`` must be a timm ViT."""

    class Config(OneClassifier.Config):
        optim: OptimConfig = Field(
            OptimConfig(epochs=10, batch_size=128, lr=0.01), description="how adapters and classifier are trained"
        )
        width: int | None = Field(
            None, ge=1, description="of the adapters; by default 2^floor(log2(C / 2L)) for C classes and L blocks"
        )
        scale: float = Field(25.0, gt=0, description="what cosines are multiplied by")
        head: Literal["class-mean", "file", "random"] = Field(
            "class-mean",
            description="what the classifier starts from: mean features of the training images, or a file's",
        )
        embeddings: Path | None = Field(
            None, description="head = file: safetensors file of one tensor float[C, D], in the space of the features"
        )

    def backbone(self, context: MethodContext) -> Backbone:
        backbone = super().backbone(context).requires_grad_(False)
        if backbone.projection is not None:
            raise UsageError("lift trains adapters and classifier alone: leave out backbone.projection.")
        blocks = blocks_of(backbone.trunk)
        insert(blocks, backbone.num_features, self.config.width or width_of(len(context.classes), len(blocks)))
        return backbone

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """Rows of length 1, as class means and embeddings have them, too."""
        head = CosineHead(num_features, num_classes, self.config.scale)
        head.weight.data = F.normalize(head.weight.data)
        return head

    def start(self, member: Member) -> None:
        weight = cast(CosineHead, member.head).weight.data
        if self.config.head == "class-mean":
            features, labels = self.context.features(member.backbone, "train")[0], self.context.train_split.labels
            means, known = class_means(features, labels, len(weight))
            weight[known.to(weight.device)] = means[known].to(weight)
        elif self.config.head == "file":
            weight.copy_(embeddings_in(self.config.embeddings, *weight.shape))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """-log softmax_y(z + log pi), mean over the batch: the logit-adjusted loss (Menon et al. 2021) of tau = 1."""
        return F.cross_entropy(logits + log_frequencies(self.context.classes.train_counts).to(logits), targets)


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The mean of the features float[N, D] of each class, of length 1: float[C, D]; and which classes have one: bool[C]."""
    counts = torch.bincount(labels, minlength=num_classes)
    sums = torch.zeros(num_classes, features.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels.cpu(), features.cpu().double())
    return F.normalize(sums), counts.cpu() > 0


def embeddings_in(path: Path | None, num_classes: int, num_features: int) -> Tensor:
    """The rows of a safetensors file that holds one tensor float[C, D], of length 1: float32[C, D].

    Raises:
        UsageError: no file is given.
        DataError: it cannot be read or does not hold that.
    """
    if path is None:
        raise UsageError("lift.head = 'file' needs lift.embeddings, a safetensors file.")
    try:
        tensors = list(load_file(path).values())
    except (OSError, SafetensorError) as error:
        raise DataError(f"lift.embeddings: {path} cannot be read as safetensors: {error}.") from error
    held = [f"{values.dtype}{list(values.shape)}".removeprefix("torch.") for values in tensors]
    fits = len(tensors) == 1 and tensors[0].is_floating_point() and tensors[0].shape == (num_classes, num_features)
    if not fits or not tensors[0].isfinite().all():
        raise DataError(
            f"lift.embeddings: {path} holds {', '.join(held) or 'nothing'}; it must hold one tensor of finite numbers "
            f"float[{num_classes}, {num_features}]. Text embeddings of CLIP fit when multiplied by its transposed projection."
        )
    return F.normalize(tensors[0].float())
