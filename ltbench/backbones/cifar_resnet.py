"""The residual networks for CIFAR (He et al., CVPR 2016, Sec. 4.2), registered with timm, which has none of them."""

from typing import Any

from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._manipulate import checkpoint_seq
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F


class PaddedShortcut(nn.Module):
    """Option A of He et al. (Sec. 4.1): every other pixel, and zeros in the channels that are new; no parameters.

    float[B, C, H, W] -> float[B, C + ``channels``, H / 2, W / 2]. The zeros stand in equal parts before and behind, as in the
    code of Cao et al. (2019).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        before = self.channels // 2
        return F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, before, self.channels - before))


class CifarResNet(ResNet):
    """A 3x3 convolution and three stages of basic blocks at full, half and quarter resolution, He initialisation.

    Args:
        depth: blocks of each stage; 6 ``depth`` + 2 layers in all.
        widths: channels of the three stages; the stem has as many as the first.
    """

    def __init__(
        self,
        depth: int = 5,
        num_classes: int = 10,
        in_chans: int = 3,
        widths: tuple[int, ...] = (16, 32, 64),
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        nn.Module.__init__(self)
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.grad_checkpointing = False
        self.conv1 = nn.Conv2d(in_chans, widths[0], 3, padding=1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        self.layer1 = _stage(widths[0], widths[0], depth, 1)
        self.layer2 = _stage(widths[0], widths[1], depth, 2)
        self.layer3 = _stage(widths[1], widths[2], depth, 2)
        self.feature_info = [
            {"num_chs": width, "reduction": 2**stage, "module": f"layer{stage + 1}"}
            for stage, width in enumerate(widths)
        ]
        self.num_features = self.head_hidden_size = widths[-1]
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward_features(self, images: Tensor) -> Tensor:
        """float[B, C, H, W] -> float[B, ``widths[2]``, H / 4, W / 4]."""
        x: Tensor = self.act1(self.bn1(self.conv1(images)))
        stages = [self.layer1, self.layer2, self.layer3]
        if self.grad_checkpointing:
            return checkpoint_seq(stages, x, flatten=True)
        for stage in stages:
            x = stage(x)
        return x


def _stage(before: int, width: int, depth: int, stride: int) -> nn.Sequential:
    shortcut = PaddedShortcut(width - before) if stride > 1 else None
    first = BasicBlock(before, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(depth - 1)))


default_cfgs = generate_default_cfgs(
    {
        "resnet32.untrained": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (8, 8),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.2470, 0.2435, 0.2616),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def resnet32(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-32 for CIFAR: 0.46 million parameters (He et al., Table 6); what CIFAR-LT work uses since Cao et al. (2019)."""
    return build_model_with_cfg(CifarResNet, "resnet32", pretrained, **kwargs)
