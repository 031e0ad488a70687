"""Residual classifiers in the manner of torchvision, small: basic, bottleneck, grouped and inverted blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def _conv(inputs: int, outputs: int, size: int = 1, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """relu(body(x) + shortcut(x)): (N, inputs, H, W) -> (N, outputs, H / stride, W / stride). He 2015."""

    def __init__(self, body: Sequence[nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        changes = stride != 1 or inputs != outputs
        self.downsample = nn.Sequential(*_conv(inputs, outputs, stride=stride)) if changes else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.body(x)
        out += shortcut  # in place, as torchvision does
        return self.relu(out)


def basic(inputs: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions: ResNet-18's block, `width` channels out."""
    body = [*_conv(inputs, width, 3, stride=stride), nn.ReLU(inplace=True), *_conv(width, width, 3)]
    return Residual(body, inputs, width, stride)


def bottleneck(inputs: int, width: int, stride: int, *, groups: int = 1) -> Residual:
    """1x1, 3x3, 1x1: ResNet-50's block, 4 `width` channels out; with `groups`, ResNeXt's (1611.05431)."""
    body = [*_conv(inputs, width), nn.ReLU(inplace=True)]
    body += [*_conv(width, width, 3, stride=stride, groups=groups), nn.ReLU(inplace=True), *_conv(width, 4 * width)]
    return Residual(body, inputs, 4 * width, stride)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate that is computed from all channels' means (1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(self.pool(x)))))


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-excitation, project; a sum where the shape stays. MobileNetV2 (1801.04381)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, expansion: int = 4) -> None:
        super().__init__()
        inner = expansion * inputs
        self.adds = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *_conv(inputs, inner),
            nn.ReLU6(inplace=True),
            *_conv(inner, inner, 3, stride=stride, groups=inner),
            nn.ReLU6(inplace=True),
            SqueezeExcitation(inner, inputs),
            *_conv(inner, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class Classifier(nn.Module):
    """Stem, blocks, global pooling, flatten, linear: (N, 3, H, W) -> (N, classes)."""

    def __init__(self, width: int, blocks: Sequence[nn.Module], features: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, width, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


def resnet_basic(width: int = 16, *, classes: int = 10) -> nn.Module:
    """ResNet-18's plan, shortened: two stages of two basic blocks, the second at half the size."""
    wide = 2 * width
    blocks = [basic(width, width, 1), basic(width, width, 1), basic(width, wide, 2), basic(wide, wide, 1)]
    return Classifier(width, blocks, wide, classes)


def resnet_bottleneck(width: int = 8, *, groups: int = 1, classes: int = 10) -> nn.Module:
    """ResNet-50's plan, shortened; with `groups` (a divisor of `width`) the 3x3 convolutions are grouped."""
    plan = [(width, width, 1), (4 * width, width, 1), (4 * width, 2 * width, 2), (8 * width, 2 * width, 1)]
    blocks = [bottleneck(inputs, inner, stride, groups=groups) for inputs, inner, stride in plan]
    return Classifier(width, blocks, 8 * width, classes)


def mobilenet(width: int = 8, *, classes: int = 10) -> nn.Module:
    """Four inverted residuals with squeeze-excitation, two of them with a sum."""
    plan = [(width, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 1), (2 * width, 4 * width, 2)]
    return Classifier(width, [InvertedResidual(*row) for row in plan], 4 * width, classes)
