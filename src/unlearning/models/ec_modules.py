"""EC modules: the chains of Conv blocks that Erase at the Core attaches to a backbone's stages (paper 3.2, B.3)."""

from torch import nn

from unlearning.models.taps import stages


class ConvBlock(nn.Sequential):
    """Two depthwise-separable convolutions that halve the resolution: (B, C_in, H, W) -> (B, C_out, H/2, W/2).

    Source: SepConv of Contrastive Deep Supervision (Zhang et al. 2022), official code: no bias, no norm or activation
    between depthwise and pointwise.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_in, 3, stride=2, padding=1, groups=channels_in, bias=False),
            nn.Conv2d(channels_in, channels_in, 1, bias=False),
            nn.BatchNorm2d(channels_in),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def ec_modules(model: nn.Module) -> nn.ModuleDict:
    """Return one chain of Conv blocks for each stage k < N: N-k blocks, from the channels of stage k to those of N.

    Keys are made by `point_key` from the stages' module names.
    """
    channels = [stage.channels for stage in stages(model)]
    chains = {
        point_key(stage.module): nn.Sequential(*(ConvBlock(*channels[i : i + 2]) for i in range(k, len(channels) - 1)))
        for k, stage in enumerate(stages(model)[:-1])
    }
    return nn.ModuleDict(chains)


def point_key(module: str) -> str:
    """Return a layer's name as a key of a ModuleDict, which may not hold dots: "layers.0" -> "layers/0"."""
    return module.replace(".", "/")
