"""Class-balanced experts: one classifier for each of several subsets of classes of similar frequency (Sec. 3.1, 3.2)."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import EpochSampler, MixedBatchSampler, RejectSampler
from ltbench.errors import UsageError
from ltbench.members import Outside
from ltbench.method import Loss, Member, Method, MethodConfig, MethodContext, TrainingResult, Validation
from ltbench.training.optim import OptimChanges, OptimConfig

Blocks = Annotated[int, Field(ge=1)] | Literal["all"]
Candidates = Annotated[list[Blocks], Field(min_length=1)]


class SubsetConfig(MethodConfig):
    """What one expert does differently from the others."""

    learnable_blocks: Blocks | Candidates | None = Field(None, description="in place of experts.learnable_blocks")
    reject_ratio: float | None = Field(None, gt=0, description="in place of experts.reject_ratio")
    optim: OptimChanges = Field(OptimChanges(), description="in place of single settings of experts.optim")


class Experts(Method):
    """Each expert starts from the baseline stage and treats the samples of all other classes as out of distribution."""

    class Config(MethodConfig):
        partition: Literal["folds"] | Annotated[int, Field(ge=2)] | Annotated[list[int], Field(min_length=1)] = Field(
            "folds",
            description="class subsets: the run's folds, a number of equally large ones, or descending counts that cut them",
        )
        ood: Literal["reject", "outlier_exposure"] = Field(
            "reject",
            description="how outside classes are learned: a reject class (Sec. 3.2.1) or outlier exposure (Sec. 3.2.2)",
        )
        reject_ratio: float = Field(16.0, gt=0, description="rho: outside samples are undersampled to |D_E| / rho")
        redraw: bool = Field(False, description="draw the outside samples afresh each epoch instead of once")
        correction: Literal["none", "balanced", "available", "official"] = Field(
            "balanced", description="what is added to the reject logit to undo the undersampling; see docs/protocol.md"
        )
        oe_weight: float = Field(0.5, ge=0, description="lambda, weight of the outlier exposure term")
        head_init: Literal["copy", "new"] = Field(
            "copy", description="copy the classes' rows of the baseline's classifier, or start anew"
        )
        learnable_blocks: Blocks | Candidates = Field(
            "all",
            description="blocks that learn, counted from the head down (1: the head alone); of a list validation chooses",
        )
        optim: OptimConfig = Field(
            OptimConfig(epochs=60, batch_size=256, lr=0.1, schedule="step", patience=15),
            description="how each expert is trained",
        )
        subset: dict[str, SubsetConfig] = Field(
            {}, description="exceptions by expert, e.g. subset.few.learnable_blocks"
        )

        def optim_of(self, expert: str) -> OptimConfig:
            return self.optim.changed(self.subset[expert].optim) if expert in self.subset else self.optim

        def reject_ratio_of(self, expert: str) -> float:
            own = self.subset[expert].reject_ratio if expert in self.subset else None
            return self.reject_ratio if own is None else own

        def candidates(self, expert: str) -> list[Blocks]:
            own = self.subset[expert].learnable_blocks if expert in self.subset else None
            value = self.learnable_blocks if own is None else own
            return value if isinstance(value, list) else [value]

    def build(self, context: MethodContext) -> list[Member]:
        outside: Outside = "reject" if self.config.ood == "reject" else "zero"
        members = []
        for name, classes in self.partition(context).items():
            backbone = context.new_backbone()
            head = RejectHead if outside == "reject" else nn.Linear
            members.append(
                Member(
                    name, classes, backbone, head(backbone.num_features, len(classes) + (outside == "reject")), outside
                )
            )
        return members

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        (baseline,) = context.stage("baseline")
        for member in members:
            results = {}
            for blocks in self.config.candidates(member.name):
                self._start_from(baseline, member)
                label = (
                    member.name if len(self.config.candidates(member.name)) == 1 else f"{member.name} blocks={blocks}"
                )
                results[blocks] = (self._train(context, member, blocks, label), _snapshot(member.module))
            chosen = max(results, key=lambda blocks: results[blocks][0].best_accuracy)
            result, weights = results[chosen]
            member.module.load_state_dict(weights)
            context.log(
                member=member.name,
                learnable_blocks=chosen,
                best_epoch=result.best_epoch,
                best_accuracy=result.best_accuracy,
            )

    def partition(self, context: MethodContext) -> dict[str, Tensor]:
        """Expert name -> int64 ids of its classes: contiguous in frequency (Sec. 3.1)."""
        rule, counts = self.config.partition, context.classes.train_counts
        if rule == "folds":
            subsets = {name: classes for name, classes in context.classes.folds.items() if len(classes)}
        else:
            subsets = _by_number(counts, rule) if isinstance(rule, int) else _by_thresholds(counts, rule)
        if len(subsets) < 2:
            raise UsageError(
                f"experts.partition = {rule}: it leaves {len(subsets)} subset(s) of classes; at least 2 are needed."
            )
        if unknown := set(self.config.subset) - set(subsets):
            raise UsageError(
                f"experts.subset.{min(unknown)}: there is no such expert; there are {', '.join(subsets)}. "
                "Drop a recipe's exceptions with --set experts.subset={}."
            )
        return subsets

    def _start_from(self, baseline: Member, member: Member) -> None:
        """Backbone from the baseline; classifier rows copied from it or left new. The reject row always starts new."""
        member.backbone.load_state_dict(baseline.backbone.state_dict())
        member.head.reset_parameters()  # type: ignore[operator]
        if self.config.head_init == "copy":
            known = len(member.classes)
            with torch.no_grad():
                for name, parameter in member.head.named_parameters():
                    parameter[:known] = getattr(baseline.head, name)[member.classes]

    def _train(self, context: MethodContext, member: Member, blocks: Blocks, label: str) -> TrainingResult:
        optim = self.config.optim_of(member.name)
        own = torch.isin(context.train_split.labels, member.classes)
        inside, outside = own.nonzero().flatten(), (~own).nonzero().flatten()
        if self.config.ood == "outlier_exposure":
            sampler: EpochSampler = MixedBatchSampler(inside, outside, optim.batch_size)
            loss: Loss = self.outlier_exposure
        else:
            ratio = self.config.reject_ratio_of(member.name)
            used = max(1, min(len(outside), round(len(inside) / ratio)))
            draw = context.generator(f"{member.name} reject draw")
            sampler = RejectSampler(inside, outside, used, redraw=self.config.redraw, generator=draw)
            loss = F.cross_entropy
            shift = self.correction(len(member.classes), len(context.classes), len(inside), len(outside), used, ratio)
            member.head.correction.fill_(shift)  # type: ignore[operator]
        return context.train(
            member,
            optim=optim,
            sampler=sampler,
            loss=loss,
            validation=self._validation(context, member),
            learnable_blocks=None if blocks == "all" else blocks,
            label=label,
        )

    def correction(self, classes: int, all_classes: int, inside: int, outside: int, used: int, ratio: float) -> float:
        """What the reject logit is raised by (Sec. 3.2.1: "the log of the undersampling ratio").

        Args:
            classes: classes of the expert, of ``all_classes``.
            inside: its training samples.
            outside: training samples of the other classes, of which ``used`` were drawn.
            ratio: rho, the expert's reject ratio.

        ``available`` restores the long-tailed prior, log(outside / used). ``balanced`` assumes that every class is as
        frequent, as in the test set: log of the ratio of outside to inside classes over the ratio of samples shown.
        ``official`` is the authors' code, log((1 + rho) / 2).
        """
        return {
            "none": 0.0,
            "available": math.log(outside / used),
            "balanced": math.log((all_classes - classes) / classes) - math.log(used / inside),
            "official": math.log((1 + ratio) / 2),
        }[self.config.correction]

    def outlier_exposure(self, logits: Tensor, targets: Tensor) -> Tensor:
        """E_in[-log p^y] + lambda E_out[H(U; p)] with H(U; p) = -(1/K) sum_k log p_k (Sec. 3.2.2); target -1 is outside."""
        log_p, inside = F.log_softmax(logits, dim=1), targets >= 0
        own = F.nll_loss(log_p[inside], targets[inside]) if inside.any() else log_p.sum() * 0
        uniform = -log_p[~inside].mean() if (~inside).any() else log_p.sum() * 0
        return own + self.config.oe_weight * uniform

    def _validation(self, context: MethodContext, member: Member) -> Validation:
        """In-subset samples and, for the reject class, as many others (PROTOCOL 2)."""
        labels = context.val_split.labels
        own = torch.isin(labels, member.classes)
        inside, outside = own.nonzero().flatten(), (~own).nonzero().flatten()
        targets = torch.searchsorted(member.classes, labels[inside])
        if member.outside != "reject":
            return Validation(inside, targets)
        order = torch.randperm(len(outside), generator=context.generator(f"{member.name} validation draw"))
        drawn = outside[order[: len(inside)]]
        return Validation(
            torch.cat([inside, drawn]), torch.cat([targets, torch.full((len(drawn),), len(member.classes))])
        )


class RejectHead(nn.Linear):
    """K + 1 logits; in eval mode the last one, the reject logit, is raised by ``correction``."""

    correction: Tensor

    def __init__(self, num_features: int, outputs: int) -> None:
        super().__init__(num_features, outputs)
        self.register_buffer("correction", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        logits = super().forward(features)
        if self.training:
            return logits
        return torch.cat([logits[:, :-1], logits[:, -1:] + self.correction], dim=1)


def _by_number(counts: Tensor, number: int) -> dict[str, Tensor]:
    """Subsets of as many classes each (within one), from the most frequent down."""
    order = torch.argsort(counts, descending=True, stable=True)
    return {
        f"subset{position}": part.sort().values
        for position, part in enumerate(order.tensor_split(number), 1)
        if len(part)
    }


def _by_thresholds(counts: Tensor, thresholds: Sequence[int]) -> dict[str, Tensor]:
    """Cut at the given counts: the first subset holds n >= thresholds[0], the last n < thresholds[-1]."""
    if list(thresholds) != sorted(set(thresholds), reverse=True):
        raise UsageError(f"experts.partition = {list(thresholds)}: give descending counts, e.g. [100, 20].")
    position = torch.stack([counts < threshold for threshold in thresholds]).sum(dim=0)
    groups = [(position == index).nonzero().flatten() for index in range(len(thresholds) + 1)]
    return {f"subset{index}": group for index, group in enumerate(groups, 1) if len(group)}


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
