"""Weights from timm or from a file, every one of them accounted for; digests of weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.errors import DataError

__all__ = ["HEAD_NAMES", "load_backbone", "load_checkpoint", "load_classifier"]

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

    Each has the shape and type (float32, int64, ...) that it is stored with, on the CPU.
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
        raise DataError(f"checkpoint {path} cannot be read: {first_line(error)}") from error
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

    Args:
        weights: name -> tensor of the shape that the model has, float[...] or int64[...]; see :func:`load_checkpoint`.
        source: the file they come from, for messages.

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

    Args:
        weights: name -> tensor of the shape that the model has, float[...] or int64[...]; see :func:`load_checkpoint`.
        source: the file they come from, for messages.

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


def first_line(error: BaseException) -> str:
    """The first line of its text, with one full stop."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".") + "."
