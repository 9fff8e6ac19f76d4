"""The settings of a run: what is trained and fused, on which data, and how. What is not set comes from the recipes."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ltbench.data.augmentation.augment_config import AugmentConfig, MixConfig
from ltbench.data.augmentation.views import TestViews
from ltbench.data.folds import fold_rule
from ltbench.errors import UsageError
from ltbench.training.optim import LARGEST_BATCH

__all__ = ["BackboneConfig", "ComputeConfig", "DatasetConfig", "EvaluationConfig", "RunConfig"]


class DatasetConfig(BaseModel):
    """Which dataset. Its name alone may stand for the whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="glyphs-lt", description="as in 'ltbench list datasets'")
    root: Path | None = Field(default=None, description="folder of its images, where it needs one")
    options: dict[str, Any] = Field(default={}, description="the dataset's own options, as in 'ltbench show NAME'")


class BackboneConfig(BaseModel):
    """Which timm model, and where its weights come from (nowhere, by default). Its name may stand for the whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="resnet10", description="a timm model")
    pretrained: bool = Field(default=False, description="start from timm's weights for it (downloaded)")
    checkpoint: Path | None = Field(default=None, description="start from the weights in this local file")
    unused: Literal["error", "allow"] = Field(
        default="error", description="weights in a checkpoint that the model does not have, but for a classifier's"
    )
    projection: int | None = Field(
        default=None,
        ge=1,
        le=2**20,
        description="width of a fully connected layer + ReLU between the pooled features and the head, as in OLTR",
    )
    kwargs: dict[str, Any] = Field(default={}, description="passed on to timm.create_model")


class ComputeConfig(BaseModel):
    """How it is computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="of training and inference; auto: bf16 where the hardware does it natively, else fp32",
    )
    channels_last: bool = Field(default=True, description="memory layout of convolutional backbones")
    eval_batch_size: int = Field(default=512, ge=1, le=LARGEST_BATCH, description="images a step without gradients")
    workers: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="processes that read images, 0: the main one; by default all cores but one (at most 16) where files are "
        "read for a GPU, else 0",
    )
    gradient_accumulation: int = Field(default=1, ge=1, description="parts into which a batch is cut to save memory")
    gradient_checkpointing: bool = Field(
        default=False,
        description="compute the backbone's activations twice instead of keeping them; BatchNorm then counts each batch "
        "twice in its running statistics",
    )
    compile: bool = Field(
        default=False,
        description="backbones through torch.compile, for GPUs: minutes before the first step; rounds otherwise, so a stage of "
        "its own",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="auto: the fastest there is")


class EvaluationConfig(BaseModel):
    """How images are evaluated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    views: TestViews = Field(
        default="centre",
        description="what is looked at of each image of val and test, the logits of several views averaged: the centre; also "
        "its mirror image; four corners and the centre; these and their mirror images",
    )


class RunConfig(BaseModel):
    """A run. In TOML and in ``--set`` the sections of ``settings`` are top-level tables beside the other fields.

    ``plugins`` are loaded by :func:`ltbench.run` for its time. Where they lie decides nothing, what is in them does: they
    are in no file of settings, no record and no hash, their code is in the keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: tuple[str, ...] = Field(min_length=1, description="methods whose members are fused together")
    fusers: tuple[str, ...] = Field(default=(), description="each is evaluated on the same logits")
    seed: int = Field(default=0, ge=0, description="of everything random")
    folds: str = Field(default="paper", description="fold rule: which classes are many-, medium- and few-shot")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="which data; a name alone will do")
    recipe: str | None = Field(
        default=None,
        exclude=True,
        description="dataset whose recipes are taken in place of the dataset's own; what they say stands in the other fields",
    )
    backbone: BackboneConfig = Field(default_factory=BackboneConfig, description="which network; a name alone will do")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="of the training images")
    mixing: MixConfig = Field(default_factory=MixConfig, description="of the training batches")
    compute: ComputeConfig = Field(default_factory=ComputeConfig, description="precision, workers, device")
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig, description="views of val and test")
    controls: bool = Field(
        default=True, description="also evaluate references, controls and each method alone, beside what is asked for"
    )
    settings: dict[str, dict[str, Any]] = Field(default={}, description="method or fuser -> its hyperparameters")
    plugins: tuple[Path, ...] = Field(
        default=(), exclude=True, description="from Python: plugin files, as --plugin FILE on the command line"
    )

    @field_validator("dataset", "backbone", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("methods", "fusers")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated:
            raise ValueError(f"'{repeated}' is named twice")
        return names

    @field_validator("folds")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        try:
            fold_rule(name)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return name
