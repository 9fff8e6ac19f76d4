"""ResNet-10 as a timm model: timm has none, and the paper's ImageNet-LT rows use it."""

from typing import Any

import timm
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet, make_blocks
from torch import nn


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
