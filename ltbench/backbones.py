"""timm models as backbones: pooled features, blocks to freeze, weights from timm or from a file; ResNet-10 for timm."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._manipulate import group_with_matcher
from timm.models.resnet import BasicBlock, ResNet, make_blocks
from torch import Tensor, nn

from ltbench.errors import DataError, LtbenchError, UsageError, did_you_mean, out_of_memory


class ResNet10(ResNet):
    """ResNet with one basic block a stage (Liu et al. 2019; PROTOCOL 1), He initialisation.

    Args:
        widths: channels of the four stages; the stem has as many as the first.
        stem_kernel: size of the first convolution.
        stem_stride: its stride.
        max_pool: 3x3 max-pooling of stride 2 after the stem.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        stem_kernel: int = 7,
        stem_stride: int = 2,
        max_pool: bool = True,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        nn.Module.__init__(self)
        self.num_classes, self.in_chans, self.drop_rate, self.grad_checkpointing = (
            num_classes,
            in_chans,
            drop_rate,
            False,
        )
        width = widths[0]
        self.conv1 = nn.Conv2d(in_chans, width, stem_kernel, stride=stem_stride, padding=stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if max_pool else nn.Identity()
        blocks, info = make_blocks(
            (BasicBlock,) * len(widths),
            tuple(widths),
            (1,) * len(widths),
            inplanes=width,
            drop_path_rate=drop_path_rate,
            norm_layer=nn.BatchNorm2d,
            act_layer=nn.ReLU,
        )
        for name, block in blocks:
            self.add_module(name, block)
        self.feature_info = [{"num_chs": width, "reduction": stem_stride, "module": "act1"}, *info]
        self.num_features = self.head_hidden_size = widths[-1]
        self.global_pool, self.fc = timm.layers.create_classifier(self.num_features, num_classes, pool_type=global_pool)
        self.init_weights(zero_init_last=False)


default_cfgs = generate_default_cfgs(
    {
        "resnet10.untrained": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def resnet10(pretrained: bool = False, **kwargs: Any) -> ResNet10:
    """ResNet-10 as ImageNet-LT work uses it: basic blocks [1, 1, 1, 1]."""
    return build_model_with_cfg(ResNet10, "resnet10", pretrained, **kwargs)


Unused = Literal["error", "allow"]
"""What is done about weights of a file that nothing takes."""


class Backbone(nn.Module):
    """A timm model without its classifier: images float[B, C, H, W] -> features float[B, D].

    Args:
        trunk: a timm model created with ``num_classes=0``.
        projection: width of a fully connected layer and ReLU after the pooled features (512 in OLTR); None: no such layer.
        unused: whether a file of weights may hold some that nothing takes, see :func:`load_backbone`.

    Attributes:
        num_features: D.
        input_size: (H, W) that images are resized to on the device first; None: they have the size already.
    """

    def __init__(self, trunk: nn.Module, projection: int | None = None, unused: Unused = "error") -> None:
        super().__init__()
        self.unused = unused
        self.trunk = trunk
        self.input_size: tuple[int, int] | None = None
        pooled = int(getattr(trunk, "head_hidden_size", None) or trunk.num_features)  # type: ignore[arg-type]
        self.projection = nn.Sequential(nn.Linear(pooled, projection), nn.ReLU()) if projection else None
        self.num_features = projection or pooled

    def forward(self, images: Tensor) -> Tensor:
        if self.input_size is not None:
            images = nn.functional.interpolate(images, self.input_size, mode="bilinear", align_corners=False)
        pooled = self.trunk(images)
        return pooled if self.projection is None else self.projection(pooled)

    @property
    def blocks(self) -> list[list[str]]:
        """Parameter names by block, from the input up; timm's ``group_matcher(coarse=True)``, the projection last."""
        named = [name for name, _ in self.trunk.named_parameters()]
        matcher = getattr(self.trunk, "group_matcher", None)
        groups = group_with_matcher([(name, name) for name in named], matcher(coarse=True)) if matcher else {0: named}
        blocks = [[f"trunk.{name}" for name in groups[key]] for key in sorted(groups)]
        if self.projection is not None:
            blocks.append([f"projection.{name}" for name, _ in self.projection.named_parameters()])
        return blocks

    def set_learnable(self, blocks: int | None) -> None:
        """Let the top ``blocks`` blocks learn and freeze the rest; None: all learn; 0: none.

        Raises:
            UsageError: fewer than none, or more blocks than the model has.
        """
        available = self.blocks
        if blocks is not None and not 0 <= blocks <= len(available):
            raise UsageError(
                f"learnable_blocks = {blocks + 1}: this backbone has {len(available)} blocks below the head; "
                f"use 1 (the head alone) to {len(available) + 1}, or 'all'."
            )
        learnable = (
            {name for block in available[len(available) - blocks :] for name in block} if blocks is not None else None
        )
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(learnable is None or name in learnable)

    def save_memory(self) -> None:
        """Recompute activations in the backward pass instead of keeping them (gradient checkpointing).

        Raises:
            UsageError: timm does not offer it for this model.
        """
        try:
            self.trunk.set_grad_checkpointing()  # type: ignore[operator]
        except (AttributeError, AssertionError) as error:
            raise UsageError(
                f"compute.gradient_checkpointing = true: timm offers it for no {type(self.trunk).__name__}; use "
                "compute.gradient_accumulation to save memory."
            ) from error

    def train(self, mode: bool = True) -> "Backbone":
        """As torch's, but frozen parts stay in eval mode: their BatchNorm statistics must not drift (PROTOCOL 2)."""
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self)
        return self


def keep_frozen_in_eval(root: nn.Module) -> None:
    """Put every module that has parameters, none of which learns, into eval mode: BatchNorm's statistics stay as they are."""
    for module in root.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


@contextmanager
def learnable(backbone: "Backbone", blocks: int | None) -> Iterator[None]:
    """For a while only the top ``blocks`` blocks can learn (None: all), of what could learn before."""
    before = {name: parameter.requires_grad for name, parameter in backbone.named_parameters()}
    try:
        backbone.set_learnable(blocks)
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and before[name])
        yield
    finally:
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(before[name])


def create_backbone(
    name: str,
    *,
    image_shape: tuple[int, int, int],
    pretrained: bool = False,
    checkpoint: Path | None = None,
    unused: Unused = "error",
    projection: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Backbone:
    """A backbone by its timm name, tried on a blank image so that misfits show before any training.

    Args:
        name: e.g. ``resnet10``, ``resnet18``, ``convnext_atto``, ``vit_tiny_patch16_224``, ``resnet152.tv_in1k``.
        image_shape: (C, H, W) of what it will be fed.
        pretrained: download timm's weights for it (through the Hugging Face hub, kept in its cache).
        checkpoint: weights from a local file instead, see :func:`load_checkpoint`.
        unused, projection: see :class:`Backbone`.
        kwargs: passed on to ``timm.create_model``.

    Raises:
        UsageError: unknown name, arguments the model does not take, or images it cannot take.
        DataError: weights that cannot be had or do not fit.
        LtbenchError: memory does not suffice.
    """
    if not timm.is_model(name.partition(".")[0]):
        raise UsageError(
            f"unknown backbone '{name}': no such timm model.{did_you_mean(name, timm.list_models())} "
            "List them with python -c 'import timm; print(timm.list_models(\"*resnet*\"))'."
        )
    arguments = {"in_chans": image_shape[0], **(kwargs or {})}
    try:
        trunk = timm.create_model(name, pretrained=pretrained, num_classes=0, **arguments)
    except Exception as error:  # a model may fail in any way on arguments that it was not made for
        raise _not_created(error, name, pretrained, arguments) from error
    backbone = Backbone(trunk, projection, unused)
    if checkpoint is not None:
        load_backbone(backbone, load_checkpoint(checkpoint), checkpoint)
    _fit_to_images(backbone, name, image_shape, arguments.get("img_size"))
    return backbone


def _not_created(error: Exception, name: str, pretrained: bool, arguments: Mapping[str, Any]) -> LtbenchError:
    """Memory, wrong arguments, or weights that cannot be downloaded."""
    if no_memory := out_of_memory(error):
        return no_memory
    if pretrained and not isinstance(error, TypeError | AssertionError | ValueError | AttributeError | LookupError):
        return DataError(
            f"pretrained weights of '{name}' cannot be had: {_first_line(error)} Give a local file with "
            "--set backbone.pretrained=false --set backbone.checkpoint=FILE."
        )
    return UsageError(f"backbone '{name}' does not take {arguments}: {_first_line(error)} (backbone.kwargs).")


def _fit_to_images(backbone: Backbone, name: str, image_shape: tuple[int, int, int], img_size: Any) -> None:
    """Find the size at which the model takes such images: as they are, else the next multiple of 32 (small images only)."""
    height, width = image_shape[1:]
    sizes = (
        [img_size if isinstance(img_size, (tuple, list)) else (img_size, img_size)] if img_size else [(height, width)]
    )
    if not img_size and max(height, width) < 224:
        sizes.append((-(-height // 32) * 32, -(-width // 32) * 32))
    failures = []
    for size in sizes:
        backbone.input_size = None if tuple(size) == (height, width) else tuple(size)
        try:
            shape = _blank_features(backbone, image_shape)
        except (AssertionError, RuntimeError, ValueError) as error:
            if no_memory := out_of_memory(error):
                raise no_memory from error
            failures.append(_first_line(error))
            continue
        if shape != (1, backbone.num_features):
            raise UsageError(
                f"backbone '{name}' gives features of shape {shape}, not (1, {backbone.num_features}): it does not pool."
            )
        return
    raise UsageError(
        f"backbone '{name}' cannot take {'x'.join(map(str, image_shape))} images: {failures[0]} "
        f"Models with a fixed input size take --set backbone.kwargs.img_size={width}."
    )


def _blank_features(backbone: Backbone, image_shape: tuple[int, int, int]) -> tuple[int, ...]:
    was_training = backbone.training
    try:
        with torch.no_grad():
            return tuple(backbone.eval()(torch.zeros(1, *image_shape)).shape)
    finally:
        backbone.train(was_training)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".") + "."


_COUNTER = ".num_batches_tracked"
_WRAPPERS = ("state_dict", "model", "model_state", "net")
_PREFIXES = ("module.", "backbone.", "trunk.", "encoder.", "feat_model.", "all.")
"""``all.`` is in the ``weights.safetensors`` of a stage whose one member covers all classes."""


def pretrained_weights(name: str) -> str:
    """What ``pretrained`` loads for this timm model, by its full name: ``resnet152`` alone is the tag timm chooses today."""
    config = timm.models.get_pretrained_cfg(name)
    return f"{config.architecture}.{config.tag}" if config is not None else name


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """Weights by name from a ``.safetensors`` file or a PyTorch file (read with ``weights_only=True``: no code is run).

    The usual wrappers (``{"state_dict": ...}``) and prefixes (``module.``, ``backbone.``) are removed.

    Raises:
        DataError: missing or unreadable file, or one that holds no weights.
    """
    if not path.is_file():
        raise DataError(f"checkpoint {path}: no such file.")
    try:
        safe = path.suffix == ".safetensors"
        content = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, EOFError) as error:
        raise DataError(f"checkpoint {path} cannot be read: {_first_line(error)}") from error
    except Exception as error:  # on a file that is not of weights alone, torch's reader may fail in any way
        raise DataError(
            f"checkpoint {path} holds more than weights, or is no PyTorch file; save a state_dict alone."
        ) from error
    weights = {_bare(name): value for name, value in _unwrapped(content).items() if isinstance(value, Tensor)}
    if not weights:
        raise DataError(f"checkpoint {path} holds no named weights.")
    return weights


def _unwrapped(content: Any) -> dict[str, Any]:
    """The innermost dict of weights; empty where there is none."""
    if not isinstance(content, dict):
        return {}
    inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), None)
    return content if inner is None else _unwrapped(inner)


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name


HEAD_NAMES = ("fc", "head", "head.fc", "classifier", "last_linear", "linear")
"""What published checkpoints call their classifier, one linear layer."""


def load_backbone(backbone: Backbone, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fill the trunk, and the projection, if the checkpoint has one.

    A classifier may be left over: ``weight`` and ``bias`` of one of :data:`HEAD_NAMES`, or of what timm calls this model's.
    So may BatchNorm's counters of batches. Anything else that is left over means that the file is of another model, a
    deeper one, say; with ``backbone.unused = "allow"`` it is passed over.

    Raises:
        DataError: a weight is missing, has another shape, or is left over; the first are named.
    """
    used = _load_below_head(backbone, weights, source)
    own = (getattr(backbone.trunk, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = (*HEAD_NAMES, *((own,) if isinstance(own, str) else own))
    _refuse_unused(
        backbone, weights, used | {f"{head}.{part}" for head in heads for part in ("weight", "bias")}, source
    )


def load_classifier(backbone: Backbone, head: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fill the backbone and ``head``, which a checkpoint calls by one of :data:`HEAD_NAMES`.

    Raises:
        DataError: the checkpoint has no classifier; or as :func:`load_backbone`, but that nothing may be left over.
    """
    name = next((name for name in HEAD_NAMES if f"{name}.weight" in weights), None)
    if name is None:
        raise DataError(
            f"checkpoint {source} holds no classifier ({', '.join(HEAD_NAMES)}); backbone.checkpoint takes a backbone alone."
        )
    used = _load_below_head(backbone, weights, source, needs_projection=True)
    used |= load_exactly(head, weights, source, f"{name}.")
    _refuse_unused(backbone, weights, used, source)


def _load_below_head(
    backbone: Backbone, weights: Mapping[str, Tensor], source: Path, needs_projection: bool = False
) -> set[str]:
    used = load_exactly(backbone.trunk, weights, source)
    has_projection = needs_projection or any(name.startswith("projection.") for name in weights)
    if backbone.projection is not None and has_projection:
        used |= load_exactly(backbone.projection, weights, source, "projection.")
    return used


def _refuse_unused(backbone: Backbone, weights: Mapping[str, Tensor], used: set[str], source: Path) -> None:
    left = sorted(name for name in weights if name not in used and not name.endswith(_COUNTER))
    if left and backbone.unused == "error":
        shown = ", ".join(f"'{name}'" for name in left[:3]) + (", ..." if len(left) > 3 else "")
        raise DataError(
            f"checkpoint {source} holds {len(left)} weight{'s' * (len(left) > 1)} that this model does not have ({shown}): it is "
            "of another model. If they may be left out, say --set backbone.unused=allow."
        )


def load_exactly(module: nn.Module, weights: Mapping[str, Tensor], source: Path, prefix: str = "") -> set[str]:
    """Fill every weight of ``module`` from the one named ``prefix`` + its name; returns the names that were used.

    BatchNorm's counters of batches may be missing: files of old PyTorch and of Caffe have none, and nothing uses them.

    Raises:
        DataError: the first that is missing or has another shape, by name.
    """
    state = {prefix + name: value for name, value in module.state_dict().items()}
    counters = {name for name in state if name.endswith(_COUNTER)} - set(weights)
    state = {name: value for name, value in state.items() if name not in counters}
    for name, value in state.items():
        if name not in weights:
            raise DataError(
                f"checkpoint {source} has no '{name}': it is of another model (it begins with '{next(iter(weights))}')."
            )
        if weights[name].shape != value.shape:
            raise DataError(
                f"checkpoint {source}: '{name}' has shape {tuple(weights[name].shape)}, the model needs {tuple(value.shape)}."
            )
    module.load_state_dict({name.removeprefix(prefix): weights[name] for name in state}, strict=False)
    return set(state)


def weights_digest(module: nn.Module) -> str:
    """sha256 (hex) of the module's weights and buffers: equal digests mean equal features."""
    return tensors_digest(module.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
