"""Backbones by their timm name, tried on a blank image before they are used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from ltbench.backbones import cifar_resnet, resnet10  # noqa: F401 (registers them with timm)
from ltbench.backbones.backbone import Backbone, Unused
from ltbench.backbones.checkpoints import first_line, load_backbone, load_checkpoint
from ltbench.errors import DataError, LtbenchError, UsageError, did_you_mean, out_of_memory

__all__ = ["create_backbone"]


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
        checkpoint: weights from a local file instead, see :func:`ltbench.backbones.checkpoints.load_checkpoint`.
        unused: what is done about weights in a file that nothing takes, see :class:`ltbench.backbones.backbone.Backbone`.
        projection: width of a layer after the pooled features, see there.
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
            f"pretrained weights of '{name}' cannot be had: {first_line(error)} Give a local file with "
            "--set backbone.pretrained=false --set backbone.checkpoint=FILE."
        )
    return UsageError(f"backbone '{name}' does not take {arguments}: {first_line(error)} (backbone.kwargs).")


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
            failures.append(first_line(error))
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
