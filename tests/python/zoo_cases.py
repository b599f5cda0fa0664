"""The models that check_zoo.py compares, each a name, a module and the shapes of its inputs."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from my_model import MyModel, MyModelWithoutBN
from nets.batch_norm import BatchNorm
from nets.circles import NetWithBN, NetWithoutBN
from nets.densenet import DenseBlock, densenet
from nets.lenet import lenet
from nets.mlp import mlp
from nets.resnet import (BasicBlock, Bottleneck, ResidualBlock, ResNet, resnet18, resnet50,
                         small_resnet18)


class Case(NamedTuple):
    name: str
    build: Callable[[], nn.Module]
    shapes: tuple  # One for each input, with a batch of 1.
    large: bool = False  # Takes seconds: no second form, no batch of 64.
    mixes: bool = False  # A sample's result depends on the others of its batch.
    core: bool = True  # PyTorch decomposes it into operators that Plica has.


class Expression(nn.Module):
    """A module made of a function of its parts and inputs."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


class StandardisedConv(nn.Conv2d):
    """Normalises its own weight, as weight-standardised nets do: batch_norm with training=True."""

    def forward(self, x):
        weight = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None,
                              training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class SqueezeExcite(nn.Module):
    """A MobileNet block: expansion, depthwise, squeeze and excitation, projection, shortcut."""

    def __init__(self, channels, expansion):
        super().__init__()
        inner = channels * expansion
        self.expand = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=False),
                                    nn.BatchNorm2d(inner), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 5, padding=2, groups=inner, bias=False),
            nn.BatchNorm2d(inner), nn.ReLU6())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, 3, 1), nn.ReLU(),
                                  nn.Conv2d(3, inner, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(inner, channels, 1, bias=False),
                                     nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.gate(y))


class PreActivation(nn.Module):
    """BatchNorm, ReLU and convolution twice, and a shortcut around them."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        return self.body(x * 1.0) + self.shortcut(x)


class Inception(nn.Module):
    """Parallel branches, one of them with average pooling, put together."""

    def __init__(self, inputs, *, include_pad):
        super().__init__()

        def unit(i, o, *shape, **options):
            return nn.Sequential(nn.Conv2d(i, o, *shape, bias=False, **options),
                                 nn.BatchNorm2d(o, eps=1e-3), nn.ReLU())
        self.branches = nn.ModuleList([
            unit(inputs, 5, 1),
            nn.Sequential(unit(inputs, 4, 1), unit(4, 7, (1, 7), padding=(0, 3)),
                          unit(7, 6, (7, 1), padding=(3, 0))),
            nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=include_pad),
                          unit(inputs, 3, 1)),
            nn.MaxPool2d(3, 1, 1)])
        self.norm = nn.BatchNorm2d(14 + inputs)

    def forward(self, x):
        return self.norm(torch.cat([branch(x) for branch in self.branches], 1))


class UNet(nn.Module):
    """Two levels down and up again, with the skipped features put beside the upsampled ones."""

    def __init__(self, width, *, transposed):
        super().__init__()

        def block(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(True),
                                 nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(True))

        def up(i, o):
            if transposed:
                return nn.ConvTranspose2d(i, o, 2, 2)
            return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                                 nn.Conv2d(i, o, 1))
        self.down = nn.ModuleList([block(3, width), block(width, 2 * width)])
        self.bottom = block(2 * width, 4 * width)
        self.up = nn.ModuleList([up(4 * width, 2 * width), up(2 * width, width)])
        self.join = nn.ModuleList([block(4 * width, 2 * width), block(2 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        skipped = []
        for block in self.down:
            x = block(x)
            skipped.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, join in zip(self.up, self.join):
            x = join(torch.cat((skipped.pop(), up(x)), 1))
        return torch.sigmoid(self.head(x))


class ShuffleUnit(nn.Module):
    """Half of the channels pass a depthwise-separable branch; then the halves are shuffled."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(True),
            nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False), nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(True))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class HandWrittenNorm(nn.Module):
    """A tutorial's BatchNorm, which keeps its statistics as buffers."""

    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(shape) + 0.5)
        self.beta = nn.Parameter(torch.randn(shape))
        self.register_buffer("mean", torch.randn(shape))
        self.register_buffer("var", torch.rand(shape) + 0.1)
        self.eps = eps

    def forward(self, x):
        if self.training:
            return x
        return self.gamma * ((x - self.mean) / torch.sqrt(self.var + self.eps)) + self.beta


def _nets():
    for inputs, outputs, stride in ((8, 8, 1), (7, 13, 2)):
        yield Case(f"pre-activation {inputs}-{outputs}", lambda i=inputs, o=outputs, s=stride:
                   nn.Sequential(nn.Conv2d(3, i, 3, padding=1), PreActivation(i, o, s),
                                 PreActivation(o, o), nn.BatchNorm2d(o), nn.ReLU()),
                   ((1, 3, 11, 12),))
    for include in (True, False):
        yield Case(f"inception, padding counted {include}",
                   lambda p=include: nn.Sequential(nn.Conv2d(3, 9, 3), Inception(9, include_pad=p)),
                   ((1, 3, 13, 11),))
    for transposed in (True, False):
        yield Case(f"u-net transposed {transposed}",
                   lambda t=transposed: UNet(5, transposed=t), ((1, 3, 16, 20),))
    yield Case("shuffle unit", lambda: nn.Sequential(nn.Conv2d(3, 12, 3), ShuffleUnit(12),
                                                     ShuffleUnit(12)), ((1, 3, 9, 9),))
    yield Case("resnext", lambda: nn.Sequential(
        nn.Conv2d(12, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(True),
        nn.Conv2d(24, 24, 3, 2, 1, groups=8, bias=False), nn.BatchNorm2d(24), nn.ReLU(True),
        nn.Conv2d(24, 12, 1, bias=False), nn.BatchNorm2d(12)), ((1, 12, 9, 10),))
    for shape in ((6, 1, 1), (1, 6, 1, 1)):
        yield Case(f"hand-written norm {shape}", lambda s=shape: nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), HandWrittenNorm(s), nn.Sigmoid(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(54, 5), HandWrittenNorm((5,)), nn.Sigmoid()), ((1, 3, 8, 8),))
    yield Case("weight norm", lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 5, 3)), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(80, 4))), ((1, 3, 6, 6),))
    yield Case("spectral norm", lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 5, 3)), nn.BatchNorm2d(5), nn.ReLU()),
        ((1, 3, 6, 6),))
    yield Case("old weight norm", lambda: nn.Sequential(
        nn.utils.weight_norm(nn.Conv2d(3, 5, 3)), nn.BatchNorm2d(5)), ((1, 3, 6, 6),))
    for rank, norm, shape in ((2, nn.BatchNorm1d, (1, 6)), (4, nn.BatchNorm2d, (1, 6, 5, 4)),
                              (3, nn.BatchNorm1d, (1, 6, 7)), (5, nn.BatchNorm3d, (1, 6, 3, 2, 4))):
        for affine in (True, False):
            yield Case(f"batch statistics rank {rank} affine {affine}", lambda n=norm, a=affine: n(
                6, affine=a, track_running_stats=False), (shape,), mixes=True)
    yield Case("batch statistics in a net", lambda: nn.Sequential(
        nn.Conv2d(3, 7, 3, padding=1), nn.BatchNorm2d(7, track_running_stats=False), nn.ReLU(),
        nn.Conv2d(7, 4, 1), nn.BatchNorm2d(4)), ((1, 3, 6, 7),), mixes=True)
    yield Case("running average", lambda: nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7, momentum=None, eps=1e-3), nn.ReLU()),
        ((1, 3, 6, 7),))
    yield Case("dropouts in place", lambda: nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(True), nn.Dropout2d(0.2, inplace=True),
        nn.Flatten(), nn.Dropout(0.5, inplace=True), nn.Linear(140, 5),
        nn.AlphaDropout(0.1, inplace=True)), ((1, 3, 6, 7),))
    yield Case("bn dropout", lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Dropout()), ((1, 6),))


def _doubles():
    image = (1, 6, 9, 10)
    one = {
        "float": lambda s, x: x.double().float() + x.to(torch.float32),
        "double inside": lambda s, x: torch.softmax(x, 1, dtype=torch.float64).float(),
        "double sums": lambda s, x: x.sum(1, dtype=torch.float64).float() + x.mean(
            1, dtype=torch.float64).float(),
        "type_as": lambda s, x: x.double().type_as(x),
    }
    for name, function in one.items():
        yield Case(name, lambda f=function: Expression(f), (image,))


def _more_layers():
    """Variants of layers, each with odd sizes."""
    image, signal, volume = (1, 6, 9, 10), (1, 6, 13), (1, 6, 5, 6, 7)
    for layer in (nn.Conv1d(6, 4, 4, padding="same"), nn.Conv1d(6, 6, 3, dilation=3, groups=2),
                  nn.ConvTranspose1d(6, 4, 5, 3, 2, 1, dilation=2),
                  nn.InstanceNorm1d(6), nn.InstanceNorm1d(6, affine=True, track_running_stats=True),
                  nn.MaxPool1d(4, 3, 2, ceil_mode=True), nn.AvgPool1d(3, 2, 1, ceil_mode=True),
                  nn.AvgPool1d(3, 2, 1, count_include_pad=False), nn.AdaptiveAvgPool1d(5),
                  nn.AdaptiveMaxPool1d(7), nn.ReflectionPad1d(3), nn.ReplicationPad1d((0, 4)),
                  nn.CircularPad1d((2, 3)), nn.ZeroPad1d(2), nn.GroupNorm(2, 6), nn.PReLU(6),
                  nn.LayerNorm((6, 13)), nn.Upsample(scale_factor=3, mode="nearest"),
                  nn.Upsample(size=29, mode="linear")):
        yield Case(f"1d {layer}", lambda a=layer: a, (signal,))
    for layer in (nn.Conv2d(6, 4, (2, 4), padding="same", padding_mode="circular"),
                  nn.Conv2d(6, 6, 3, padding=1, padding_mode="replicate", groups=3),
                  nn.Conv2d(6, 8, (3, 2), (2, 1), (1, 0), (1, 3)),
                  nn.Conv2d(6, 12, 3, padding="same", dilation=2, groups=6),
                  nn.ConvTranspose2d(6, 9, (3, 4), (2, 3), (1, 2), (1, 2), groups=3),
                  nn.ConvTranspose2d(6, 5, 3, 1, 1, dilation=(2, 1), bias=False),
                  nn.ConvTranspose2d(6, 6, 4, 2, 1, groups=6),
                  nn.InstanceNorm2d(6, track_running_stats=True, eps=1e-3),
                  nn.GroupNorm(6, 6), nn.GroupNorm(2, 6, eps=1e-3), nn.LayerNorm((9, 10)),
                  nn.MaxPool2d((3, 2), (1, 3), (1, 0), (2, 1)), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
                  nn.AvgPool2d((3, 2), (2, 1), (1, 0), ceil_mode=True),
                  nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
                  nn.AvgPool2d(2, 1, divisor_override=3), nn.AdaptiveAvgPool2d((7, None)),
                  nn.AdaptiveAvgPool2d((4, 7)), nn.AdaptiveMaxPool2d((5, 3)), nn.CircularPad2d(2),
                  nn.ReflectionPad2d((0, 3, 1, 2)), nn.ReplicationPad2d((2, 0, 0, 3)),
                  nn.ConstantPad2d((-1, 2, 1, -2), 1.5), nn.Softmax2d(), nn.LogSoftmax(-1),
                  nn.LogSigmoid(), nn.Softplus(2), nn.SELU(), nn.CELU(0.5), nn.Mish(),
                  nn.Softsign(), nn.Tanhshrink(), nn.Hardtanh(-2, 0.5), nn.Softmin(2),
                  nn.ReLU6(inplace=True), nn.LeakyReLU(0.2, True), nn.Hardswish(True),
                  nn.SiLU(True), nn.ELU(0.3, True), nn.PReLU(6, init=-0.1),
                  nn.Upsample(scale_factor=(2, 3), mode="nearest"), nn.PixelUnshuffle(1),
                  nn.Upsample(size=(5, 17), mode="bilinear"), nn.UpsamplingBilinear2d(scale_factor=2),
                  nn.UpsamplingNearest2d(size=(13, 7)), nn.ChannelShuffle(3), nn.Unflatten(1, (2, 3)),
                  nn.LocalResponseNorm(3), nn.ZeroPad2d(-1), nn.Flatten(1, 2)):
        yield Case(f"2d {layer}", lambda a=layer: a, (image,))
    for layer in (nn.Conv3d(6, 4, (1, 3, 2), padding="same"),
                  nn.Conv3d(6, 6, 3, 2, 1, groups=3, bias=False),
                  nn.ConvTranspose3d(6, 4, (2, 3, 3), (1, 2, 2), (0, 1, 1), (0, 1, 0), groups=2),
                  nn.InstanceNorm3d(6, affine=True), nn.GroupNorm(3, 6),
                  nn.InstanceNorm3d(6, affine=True, track_running_stats=True),
                  nn.MaxPool3d((1, 2, 3), ceil_mode=True), nn.AvgPool3d(3, 2, 1),
                  nn.AvgPool3d(3, 2, 1, count_include_pad=False), nn.AdaptiveAvgPool3d((2, 3, 5)),
                  nn.AdaptiveMaxPool3d((2, 1, 3)), nn.ReplicationPad3d(1), nn.ReflectionPad3d(1),
                  nn.CircularPad3d(1), nn.ConstantPad3d(1, 0.5),
                  nn.Upsample(scale_factor=2, mode="trilinear"),
                  nn.Upsample(scale_factor=2, mode="nearest")):
        yield Case(f"3d {layer}", lambda a=layer: a, (volume,))
    for bias in (True, False):
        yield Case(f"layer norm bias {bias}", lambda b=bias: nn.Sequential(
            nn.Linear(7, 33), nn.LayerNorm(33, bias=b), nn.GELU("tanh"), nn.Linear(33, 3)),
            ((1, 7),))
    yield Case("linear rank 4", lambda: nn.Sequential(nn.Linear(10, 7), nn.ReLU(),
                                                      nn.Linear(7, 1, bias=False)), (image,))


def _more_expressions():
    image = (1, 6, 5, 4)
    one = {
        "nearest-exact": lambda s, x: F.interpolate(x, scale_factor=1.5, mode="nearest-exact"),
        "index channels": lambda s, x: x[:, [3, 1, 5, 0]] + x[:, torch.tensor([0, 1, 2, -1])],
        "index rows": lambda s, x: x[:, :, torch.arange(4, -1, -1)] * x.flip(2),
        "index points": lambda s, x: x[:, :, [0, 2, 4], [1, 1, 3]],
        "index select": lambda s, x: x.index_select(1, torch.tensor([5, 0, 0])),
        "steps": lambda s, x: x[:, ::2, 1::2, ::3] + x[:, 1::2, :4:2, :3:2],
        "negative slices": lambda s, x: x[:, -4:-1, :-2, 1:],
        "ellipsis": lambda s, x: x[..., None, 1:3].squeeze(-2),
        "split with remainder": lambda s, x: torch.cat([t * i for i, t in enumerate(
            x.split(4, 1))], 1),
        "chunk with remainder": lambda s, x: torch.cat(x.chunk(4, 2)[::-1], 2),
        "unbind": lambda s, x: x.unbind(1)[2] * x.unbind(1)[-1],
        "powers": lambda s, x: (x.abs() + 0.1) ** 1.7 + 2 ** x + (x * x + 1) ** -0.5 + x ** -2,
        "pow tensor": lambda s, x: (x.abs() + 0.1) ** (x * 0.5),
        "roots": lambda s, x: torch.rsqrt(x.abs() + 0.01) + torch.sqrt(x * x),
        "means": lambda s, x: x.mean(1) + x.mean((1,), keepdim=True).squeeze(1),
        "sums": lambda s, x: x.sum((1, 3), keepdim=True) + x.sum((2,), keepdim=True),
        "deviations": lambda s, x: x.var((2, 3)) + x.std(1, correction=0).mean((1, 2))[:, None],
        "norms": lambda s, x: F.normalize(x, dim=1) + x / x.norm(dim=(2, 3), keepdim=True),
        "maximum": lambda s, x: torch.maximum(x, 1 - x) + torch.minimum(x, x * 2),
        "max over an axis": lambda s, x: x.max(1).values + x.min(1).values,
        "comparison": lambda s, x: (x > 0).float() * x,
        "broadcast matmul": lambda s, x: torch.matmul(x.unsqueeze(1), x.transpose(2, 3)[:, :1, None]
            .squeeze(2).unsqueeze(1)),
        "bmm": lambda s, x: torch.bmm(x.flatten(1, 2), x.flatten(1, 2).transpose(1, 2)),
        "outer broadcast": lambda s, x: x[:, :, :, :1] * x[:, :, :1, :] + x[:, :1],
        "div numbers": lambda s, x: 3 / (x * x + 1) - 2 / (x.abs() + 1) + x / 7,
        "subtract": lambda s, x: torch.sub(x, x * x, alpha=2) + torch.rsub(x, 3),
        "sigmoid gate": lambda s, x: x * torch.sigmoid(1.702 * x),
        "tanh gelu by hand": lambda s, x: 0.5 * x * (1 + torch.tanh(
            0.7978845608 * (x + 0.044715 * x ** 3))),
        "hardswish by hand": lambda s, x: x * F.relu6(x + 3) / 6,
        "mish by hand": lambda s, x: x * torch.tanh(F.softplus(x)),
        "log_softmax nll": lambda s, x: F.log_softmax(x.flatten(1), dim=1)[:, ::3],
        "expand": lambda s, x: x[:, :1].expand(-1, 4, -1, -1) + 1,
        "repeat": lambda s, x: x.repeat(1, 2, 1, 1) + x.repeat_interleave(2, 1),
        "movedim": lambda s, x: x.movedim(1, -1).contiguous().view(x.size(0), -1, 3),
        "pixel shuffle": lambda s, x: F.pixel_shuffle(x[:, :4], 2),
        "ones": lambda s, x: x + torch.ones(4) - torch.zeros(5, 4) + torch.full((1,), 2.0),

    }
    for name, function in one.items():
        yield Case(name, lambda f=function: Expression(f), (image,))


class Attention(nn.Module):
    """Self-attention of several heads, as vision transformers write it."""

    def __init__(self, width, heads, **options):
        super().__init__()
        self.heads, self.options = heads, options
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.project(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, **self.options)
        return self.join(y.transpose(1, 2).reshape(n, length, width))


class Snake(nn.Module):
    """The periodic activation of neural vocoders."""

    def __init__(self, channels):
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(1, channels, 1) + 0.5)

    def forward(self, x):
        return x + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * x).pow(2)


class SegNet(nn.Module):
    """Two levels down and up again, with maxima put back to where they came from."""

    def __init__(self, width):
        super().__init__()

        def block(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(True))
        self.down = nn.ModuleList([block(3, width), block(width, 2 * width)])
        self.up = nn.ModuleList([block(2 * width, width), block(width, 2)])

    def forward(self, x):
        places = []
        for block in self.down:
            x = block(x)
            size = x.shape[2:]
            x, where = F.max_pool2d(x, 2, 2, return_indices=True)
            places.append((where, size))
        for block in self.up:
            where, size = places.pop()
            x = block(F.max_unpool2d(x, where, 2, 2, output_size=size))
        return x


def _more_operators():
    image, tokens, signal = (1, 6, 9, 10), (1, 11, 12), (1, 6, 23)
    conv = lambda i=6, o=8: nn.Conv2d(i, o, 3, padding=1)  # noqa: E731
    for size, options in ((None, {"scale_factor": 2}), (None, {"scale_factor": 3}),
                          (None, {"scale_factor": (1.7, 0.6)}), ((19, 23), {}), ((5, 4), {})):
        for corners in (False, True):
            yield Case(f"bicubic {size or options} {corners}", lambda z=size, o=options, c=corners:
                       nn.Upsample(size=z, mode="bicubic", align_corners=c, **o), (image,))
    for channels in (3, 16, 21):
        yield Case(f"super-resolution {channels}", lambda k=channels: Expression(
            lambda s, x: s.b(F.interpolate(s.a(x), scale_factor=2, mode="bicubic")) +
            F.interpolate(x, scale_factor=2, mode="bicubic"), a=conv(3, k), b=conv(k, 3)),
            ((1, 3, 14, 13),))
    for mode in ("bilinear", "bicubic"):
        yield Case(f"antialias {mode}", lambda m=mode: Expression(lambda s, x: F.interpolate(
            s.c(x), size=(4, 7), mode=m, antialias=True), c=conv()), (image,), core=False)
    yield Case("siren", lambda: Expression(
        lambda s, x: s.c(torch.sin(s.b(torch.sin(30 * s.a(x))))), a=nn.Linear(2, 33),
        b=nn.Linear(33, 32), c=nn.Linear(32, 3)), ((1, 2),))
    yield Case("fourier features", lambda: Expression(
        lambda s, x: s.c(torch.cat((torch.sin(x @ s.w), torch.cos(x @ s.w)), -1)),
        w=torch.randn(2, 16) * 6, c=nn.Linear(32, 3)), ((1, 2),))
    yield Case("snake", lambda: nn.Sequential(
        nn.Conv1d(6, 8, 7, padding=3), Snake(8), nn.ConvTranspose1d(8, 5, 4, 2, 1), Snake(5)),
        (signal,))
    hidden = torch.ones(11, 11).tril().bool()
    for title, options in (("", {}), ("scale", {"scale": 0.2}), ("causal", {"is_causal": True}),
                           ("mask of bools", {"attn_mask": hidden}),
                           ("mask", {"attn_mask": torch.randn(4, 11, 11)})):
        yield Case(f"attention {title}", lambda o=options: Attention(12, 4, **o), (tokens,))
    yield Case("attention of data's mask", lambda: Expression(
        lambda s, x: F.scaled_dot_product_attention(x, x, x, attn_mask=x[:, :, :1] < 0.5)),
        (tokens,), core=False)
    yield Case("grouped queries", lambda: Expression(lambda s, x: F.scaled_dot_product_attention(
        x, x[:, :2], x[:, 2:4], enable_gqa=True)), (image,))
    yield Case("transformer layer", lambda: nn.TransformerEncoderLayer(
        12, 3, 20, batch_first=True, activation="gelu", norm_first=True), (tokens,))
    yield Case("einsum of weights first", lambda: Expression(
        lambda s, x: torch.einsum("oc,bchw->bohw", s.w, x), w=torch.randn(7, 6)), (image,))
    for equation, shape in (("bchw,oc->bohw", (7, 6)),
                            ("bchw,hk->bckw", (9, 4)), ("bchw,chw->bc", (6, 9, 10)),
                            ("bchw,hwk->bck", (9, 10, 4)), ("...w,w->...", (10,))):
        yield Case(f"einsum {equation}", lambda e=equation, t=shape: Expression(
            lambda s, x: torch.einsum(e, s.c(x), s.w), c=conv(6, 6), w=torch.randn(t)), (image,))
    yield Case("einsum of data", lambda: Expression(
        lambda s, x: torch.einsum("bchw,bdhw->bcd", s.c(x), x), c=conv()), (image,))
    one = {
        "masked_fill": lambda s, x: x.masked_fill(x > 0.5, -2.0) + x.masked_fill(~(x < 0), 3.0),
        "where with numbers": lambda s, x: torch.where(x > 0, x, -1.0) + torch.where(x < 1, 0.5, x),
        "comparisons": lambda s, x: (x > x.mean(1, True)) * x + ((x >= 0) & (x <= 1)) * 2.0 + (
            (x.abs() == x) | (x < -1.5)) * x,
        "equal": lambda s, x: (torch.round(x) == 1).float() + (torch.trunc(x) != 0) * x,
        "clamp by tensors": lambda s, x: torch.clamp(x, x.mean((2, 3), keepdim=True), x.abs()),
        "lerp": lambda s, x: torch.lerp(x, x * x, 0.3) + torch.lerp(x, x.abs(), torch.sigmoid(x)),
        "addcmul": lambda s, x: torch.addcmul(x, x, x.sigmoid(), value=0.5) + torch.addcdiv(
            x, x, x.abs() + 1, value=-2),
        "roll": lambda s, x: torch.roll(x, (2, -3), (2, 3)) + x.roll(1, 1),
        "logsumexp": lambda s, x: torch.logsumexp(x, 1) + x.logsumexp((1, 2, 3))[:, None, None],
        "var_mean": lambda s, x: torch.cat(torch.var_mean(x, (2, 3)), 1),
        "std_mean": lambda s, x: torch.cat(torch.std_mean(x, 1, correction=0), 1),
        "cumsum": lambda s, x: x.cumsum(1) + x.cumsum(-1),
        "logarithms": lambda s, x: torch.log2(x.abs() + 0.1) + torch.log10(x * x + 0.5) + torch.exp2(x),
        "any": lambda s, x: (x > 2).any(1) * x.mean(1) + (x > -1).all(1) * 2,
        "unfold": lambda s, x: F.unfold(x, 3, padding=1, stride=2),
        "fold": lambda s, x: F.fold(F.unfold(x, 3) * 0.5, x.shape[2:], 3),
        "max unpool": lambda s, x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2,
                                                  output_size=x.shape[2:]),
    }
    for name, function in one.items():
        yield Case(name, lambda f=function: Expression(
            lambda s, x: f(s, s.c(x)), c=conv()), (image,),
            core=name not in ("fold", "max unpool"))
    for padding in ("zeros", "border", "reflection"):
        for corners in (False, True):
            yield Case(f"grid sample {padding} {corners}", lambda p=padding, a=corners: Expression(
                lambda s, x, g: F.grid_sample(s.c(x), torch.tanh(g) * 1.4, padding_mode=p,
                                              align_corners=a), c=conv()), (image, (1, 5, 7, 2)))
    yield Case("spatial transformer", lambda: Expression(
        lambda s, x: F.grid_sample(x, F.affine_grid(
            s.f(x.mean((2, 3))).view(-1, 2, 3), x.shape, align_corners=False),
            align_corners=False), f=nn.Linear(6, 6)), (image,))
    yield Case("segnet", lambda: SegNet(7), ((1, 3, 16, 20),), core=False)


def _named_models():
    image, small = (1, 1, 28, 28), (1, 3, 6, 6)
    yield Case("net_with_bn", NetWithBN, ((1, 2),))
    yield Case("net_with_bn odd", lambda: NetWithBN(3, (17, 5), 4), ((1, 3),))
    yield Case("net_without_bn", NetWithoutBN, ((1, 2),))
    for sizes in ((2, 2), (7, 3), (13, 1)):
        yield Case(f"my_model{sizes}", lambda s=sizes: MyModel(*s), ((1, sizes[0]),))
        yield Case(f"my_model_without_bn{sizes}", lambda s=sizes: MyModelWithoutBN(*s),
                   ((1, sizes[0]),))
    for norm in (None, "builtin", "custom"):
        yield Case(f"lenet {norm}", lambda n=norm: lenet(n), (image,))
        yield Case(f"lenet {norm} wide", lambda n=norm: lenet(n, width=3, classes=7), (image,))
        yield Case(f"mlp {norm}", lambda n=norm: mlp(n), ((1, 784),))
        yield Case(f"mlp {norm} odd", lambda n=norm: mlp(n, 31, (33, 17), 5), ((1, 31),))
    yield Case("residual", lambda: ResidualBlock(3, 3), (small,))
    yield Case("residual 1x1", lambda: ResidualBlock(3, 6, True, 2), (small,))
    yield Case("residual 1x1 odd", lambda: ResidualBlock(5, 7, True), ((1, 5, 9, 11),))
    yield Case("basic block", lambda: BasicBlock(16, 24, 2), ((1, 16, 15, 15),))
    yield Case("bottleneck", lambda: Bottleneck(24, 6, 1), ((1, 24, 10, 9),))
    yield Case("dense block", lambda: DenseBlock(3, 5, 7), ((1, 5, 8, 8),))
    yield Case("mobile block", lambda: SqueezeExcite(9, 4), ((1, 9, 12, 12),))
    yield Case("densenet odd", lambda: densenet(2, 10, 7, (2, 3), 5), ((1, 2, 50, 50),))
    yield Case("densenet", densenet, ((1, 1, 96, 96),), True)
    yield Case("resnet small", lambda: ResNet(BasicBlock, (1, 1, 1, 1), 7), ((1, 3, 65, 65),), True)
    yield Case("resnet18 1x224", small_resnet18, ((1, 1, 224, 224),), True)
    yield Case("resnet18", resnet18, ((1, 3, 224, 224),), True)
    yield Case("resnet50 97", resnet50, ((1, 3, 97, 97),), True)
    yield Case("resnet50", resnet50, ((1, 3, 224, 224),), True)


_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_SIZES = ((1, 0, 11), (1, 0, 9, 10), (1, 0, 5, 6, 7))  # 0: channels


def _convolutions():
    variants = {
        "": {}, "no bias": {"bias": False}, "stride": {"stride": 2, "padding": 1},
        "dilation": {"dilation": 2, "padding": 2}, "same": {"padding": "same"},
        "groups": {"groups": 3}, "reflect": {"padding": 1, "padding_mode": "reflect"},
    }
    for rank, (conv, norm, size) in enumerate(zip(_CONVS, _NORMS, _SIZES), 1):
        for title, options in variants.items():
            if title == "reflect" and rank == 3:
                continue
            yield Case(f"conv{rank}d bn relu {title}", lambda c=conv, n=norm, o=options:
                       nn.Sequential(c(6, 9, 3, **o), n(9), nn.ReLU()), ((1, 6, *size[2:]),))
        for channels in (1, 7, 16, 33):
            yield Case(f"depthwise{rank}d {channels}", lambda c=conv, n=norm, k=channels:
                       nn.Sequential(c(k, k, 3, padding=1, groups=k), n(k), nn.ReLU6()),
                       ((1, channels, *size[2:]),))
        yield Case(f"conv{rank}d bn no affine", lambda c=conv, n=norm:
                   nn.Sequential(c(3, 5, 3), n(5, affine=False), nn.Sigmoid()),
                   ((1, 3, *size[2:]),))
        for inputs, outputs, options in (
                (5, 5, {}), (4, 7, {"stride": 2, "padding": 1}),
                (6, 9, {"groups": 3, "stride": 2, "output_padding": 1}),
                (6, 6, {"groups": 6, "bias": False}), (3, 4, {"dilation": 2})):
            title = " ".join(f"{key}={value}" for key, value in options.items())
            yield Case(f"transposed{rank}d {inputs}-{outputs} {title}",
                       lambda t=_TRANSPOSED[rank - 1], n=norm, a=(inputs, outputs), o=options:
                       nn.Sequential(t(*a, 3, **o), n(a[1]), nn.Tanh()),
                       ((1, inputs, *size[2:]),))
        yield Case(f"bn{rank}d alone", lambda n=norm: n(5), ((1, 5, *size[2:]),))
    for channels in (1, 2, 3, 8, 15, 16, 17, 31, 64, 65):
        yield Case(f"conv 3x3 to {channels}", lambda k=channels:
                   nn.Sequential(nn.Conv2d(3, k, 3, padding=1), nn.BatchNorm2d(k), nn.ReLU(),
                                 nn.Conv2d(k, k, 3, padding=1, bias=False), nn.BatchNorm2d(k)),
                   ((1, 3, 7, 7),))
        yield Case(f"conv 1x1 of {channels}", lambda k=channels:
                   nn.Sequential(nn.Conv2d(k, 19, 1), nn.BatchNorm2d(19), nn.SiLU()),
                   ((1, channels, 5, 5),))
        yield Case(f"linear {channels}", lambda k=channels:
                   nn.Sequential(nn.Linear(k, k + 2, bias=False), nn.BatchNorm1d(k + 2), nn.ReLU(),
                                 nn.Linear(k + 2, k)), ((1, channels),))
    yield Case("kernel larger than input", lambda: nn.Conv2d(2, 3, 7, padding=3), ((1, 2, 3, 3),))
    yield Case("non-square kernel", lambda: nn.Sequential(
        nn.Conv2d(3, 8, (1, 7), padding=(0, 3)), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, (5, 1), stride=(2, 1))), ((1, 3, 12, 8),))
    yield Case("conv without batch axis trick", lambda: nn.Sequential(
        nn.Conv2d(1, 4, 28), nn.Flatten(), nn.Linear(4, 10)), ((1, 1, 28, 28),))


def _folding():
    two = (1, 4, 8, 8)
    conv = lambda i=4, o=4, **k: nn.Conv2d(i, o, 3, **k)  # noqa: E731
    norm = nn.BatchNorm2d
    yield Case("bn before padded conv", lambda: nn.Sequential(norm(4), conv(padding=1)), (two,))
    yield Case("bn before conv", lambda: nn.Sequential(norm(4), conv(o=5)), (two,))
    yield Case("bn relu conv", lambda: nn.Sequential(norm(4), nn.ReLU(), conv(padding=1)), (two,))
    yield Case("bn avg pool", lambda: nn.Sequential(conv(), nn.AvgPool2d(2), norm(4)), (two,))
    yield Case("bn padded avg pool", lambda: nn.Sequential(
        conv(), nn.AvgPool2d(3, 2, padding=1), norm(4)), (two,))
    yield Case("bn max pool", lambda: nn.Sequential(conv(), nn.MaxPool2d(2), norm(4)), (two,))
    yield Case("conv bn bn", lambda: nn.Sequential(conv(), norm(4), norm(4)), (two,))
    yield Case("conv read twice", lambda: Expression(
        lambda s, x: (lambda y: s.n(y) + y)(s.c(x)), c=conv(), n=norm(4)), (two,))
    yield Case("conv output also returned", lambda: Expression(
        lambda s, x: (lambda y: (s.n(y), y))(s.c(x)), c=conv(), n=norm(4)), (two,))
    yield Case("conv called twice", lambda: Expression(
        lambda s, x: s.n2(s.c(torch.relu(s.n1(s.c(x))))), c=conv(padding=1), n1=norm(4),
        n2=norm(4)), (two,))
    yield Case("bn called twice", lambda: Expression(
        lambda s, x: s.n(s.c1(x)) + s.n(s.c2(x)), c1=conv(), c2=conv(), n=norm(4)), (two,))
    yield Case("add bn", lambda: Expression(
        lambda s, x: s.n(s.c1(x) + s.c2(x)), c1=conv(), c2=conv(), n=norm(4)), (two,))
    yield Case("concat bn", lambda: Expression(
        lambda s, x: s.n(torch.cat((s.c1(x), s.c2(x)), 1)), c1=conv(o=3), c2=conv(o=6), n=norm(9)),
        (two,))
    yield Case("layer scale", lambda: Expression(
        lambda s, x: x + s.g * s.n(s.c(x)), c=conv(padding=1), n=norm(4),
        g=torch.linspace(0.1, 1, 4).reshape(1, 4, 1, 1)), (two,))
    yield Case("input standardisation", lambda: Expression(
        lambda s, x: s.c((x - s.m) / s.d), c=conv(3, 5), m=torch.rand(1, 3, 1, 1),
        d=torch.rand(1, 3, 1, 1) + 0.1), ((1, 3, 8, 8),))
    yield Case("standardised input, padded", lambda: Expression(
        lambda s, x: s.c((x - 0.45) / 0.225), c=conv(3, 5, padding=1)), ((1, 3, 8, 8),))
    for rank, shape in ((2, (1, 6)), (4, (1, 6, 5, 5))):
        first = (lambda r=rank: nn.Linear(6, 6) if r == 2 else nn.Conv2d(6, 6, 1))
        yield Case(f"hand-written bn rank {rank}", lambda r=rank, f=first:
                   nn.Sequential(f(), BatchNorm(6, r), nn.ReLU()), (shape,))
        wide = (1, 6) if rank == 2 else (1, 6, 1, 1)
        for title, scale in (("rsqrt", lambda v: torch.rsqrt(v + 1e-5)),
                             ("pow", lambda v: (v + 1e-5) ** -0.5),
                             ("1/sqrt", lambda v: 1 / torch.sqrt(v + 1e-5))):
            yield Case(f"hand-written bn {title} rank {rank}", lambda f=first, w=wide, t=scale:
                       Expression(lambda s, x: (s.f(x) - s.m) * t(s.v) * s.g + s.b, f=f(),
                                  m=torch.randn(w), v=torch.rand(w) + 0.1, g=torch.randn(w),
                                  b=torch.randn(w)), (shape,))
    for size in ((7, 6), (6, 6)):
        yield Case(f"linear bn rank 3 {size}", lambda s=size: nn.Sequential(
            nn.Linear(5, s[1]), nn.BatchNorm1d(s[0]), nn.ReLU()), ((1, size[0], 5),))
    yield Case("weight standardised", lambda: nn.Sequential(
        StandardisedConv(3, 6, 3, padding=1), nn.ReLU()), ((1, 3, 8, 8),))

    def tiny_variance():
        model = nn.Sequential(conv(), norm(4, eps=1e-3), nn.ReLU())
        model.tiny = True
        return model
    yield Case("tiny and zero variance", tiny_variance, (two,))
    yield Case("conv relu bn", lambda: nn.Sequential(conv(), nn.ReLU(), norm(4)), (two,))


def _layers():
    image = (1, 6, 9, 10)
    for act in (nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.PReLU(), nn.PReLU(6), nn.ELU(0.7),
                nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Hardswish(),
                nn.Hardsigmoid(), nn.Hardtanh(-0.5, 2), nn.Softmax(1), nn.Softmax(-1),
                nn.LogSoftmax(1), nn.Dropout(), nn.Dropout2d(), nn.Identity(), nn.Flatten(2)):
        yield Case(f"{act}", lambda a=act: nn.Sequential(a, nn.Conv2d(6, 6, 1), a)
                   if not isinstance(a, nn.Flatten) else a, (image,))
    for layer in (nn.GroupNorm(3, 6), nn.GroupNorm(1, 6, affine=False), nn.LayerNorm(10),
                  nn.LayerNorm((6, 9, 10)), nn.LayerNorm(10, elementwise_affine=False),
                  nn.InstanceNorm2d(6), nn.InstanceNorm2d(6, affine=True),
                  nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
                  nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, ceil_mode=True),
                  nn.MaxPool2d(3, 1, dilation=2), nn.AvgPool2d(3, 2, 1),
                  nn.AvgPool2d(3, 2, 1, count_include_pad=False),
                  nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d((3, 4)),
                  nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d((2, 5)), nn.AdaptiveMaxPool2d(1),
                  nn.ZeroPad2d((1, 2, 0, 3)), nn.ConstantPad2d(1, 0.5), nn.ReflectionPad2d(2),
                  nn.ReplicationPad2d(1)):
        yield Case(f"{layer}", lambda a=layer: a, (image,))
    for layer in (nn.MaxPool1d(3, 2), nn.AvgPool1d(3, 2, 1), nn.AdaptiveAvgPool1d(4),
                  nn.AdaptiveMaxPool1d(2)):
        yield Case(f"{layer}", lambda a=layer: a, ((1, 5, 13),))
    for layer in (nn.MaxPool3d(2), nn.AvgPool3d(2, ceil_mode=True), nn.AdaptiveAvgPool3d(2)):
        yield Case(f"{layer}", lambda a=layer: a, ((1, 5, 5, 6, 7),))


def _expressions():
    image, vector = (1, 6, 5, 4), (1, 6)
    one = {
        "permute": lambda s, x: x.permute(0, 2, 3, 1),
        "transpose": lambda s, x: torch.relu(x.transpose(1, 2)).transpose(2, 3),
        "squeeze": lambda s, x: x.mean((2, 3), keepdim=True).squeeze(3).squeeze(-1),
        "unsqueeze": lambda s, x: x.unsqueeze(1) * 2,
        "view": lambda s, x: x.view(x.size(0), -1),
        "reshape of permuted": lambda s, x: x.permute(0, 2, 1, 3).reshape(x.size(0), 5, 24),
        "channel shuffle": lambda s, x: x.view(x.size(0), 2, 3, 5, 4).transpose(1, 2).flatten(1, 2),
        "chunk": lambda s, x: (lambda a, b: a * torch.sigmoid(b))(*x.chunk(2, 1)),
        "split": lambda s, x: torch.cat(x.split([1, 3, 2], 1)[::-1], 1),
        "slice": lambda s, x: x[:, 1:5:2, :, -2:],
        "select": lambda s, x: x[:, 2] + x[:, -1],
        "concat axes": lambda s, x: torch.cat((x, torch.relu(x), x), 2),
        "stack": lambda s, x: torch.stack((x, -x), 1),
        "scalars": lambda s, x: (2 * x + 1) / 3 - (1 - x) * 0.5,
        "reciprocal of scalar": lambda s, x: 1 / (x * x + 1),
        "pow": lambda s, x: x ** 2 + (x * x + 1) ** 0.5 + x.pow(3),
        "sqrt exp": lambda s, x: torch.sqrt(torch.exp(x)) + torch.exp(-x),
        "abs neg log": lambda s, x: torch.log(x.abs() + 1) - (-x),
        "clamp": lambda s, x: x.clamp(-0.5, 0.7) + x.clamp(min=0.1),
        "mean": lambda s, x: x.mean((2, 3)), "mean all but batch": lambda s, x: x.mean((1, 2, 3)),
        "sum": lambda s, x: x.sum(1, keepdim=True) + x.sum(-1, keepdim=True),
        "max min": lambda s, x: x.amax(1) - x.amin(1),
        "variance": lambda s, x: x.var(1) + x.std(2, unbiased=False).mean(1, keepdim=True).mean(),
        "self gating": lambda s, x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
        "matmul": lambda s, x: torch.matmul(x, x.transpose(2, 3)),
        "attention": lambda s, x: torch.softmax(x @ x.transpose(-1, -2) / 2, -1) @ x,
        "pad": lambda s, x: F.pad(x, (1, 2, 3, 0), value=-1.0),
        "negative pad": lambda s, x: F.pad(x, (-1, 2)),
        "interpolate": lambda s, x: F.interpolate(x, scale_factor=2, mode="nearest"),
    }
    del one["variance"]
    for name, function in one.items():
        yield Case(name, lambda f=function: Expression(f), (image,))
    yield Case("broadcast", lambda: Expression(
        lambda s, x, y: x + y[:, :, None, None] * 2 - x * y.mean(1, keepdim=True)[:, :, None, None]),
        (image, vector))
    yield Case("two inputs, two outputs", lambda: Expression(
        lambda s, x, y: (s.f(torch.cat((x, y), 1)), x - y[:, :4]), f=nn.Linear(10, 3)),
        ((1, 4), vector))
    yield Case("input as output", lambda: Expression(lambda s, x: (x, x * 2)), (vector,))
    yield Case("constant matmul", lambda: Expression(
        lambda s, x: x @ s.w, w=torch.randn(6, 7)), (vector,))
    yield Case("batched matmul of constants", lambda: Expression(
        lambda s, x: torch.matmul(x, s.w), w=torch.randn(4, 7)), (image,))
    yield Case("linear chain", lambda: nn.Sequential(*(
        layer for _ in range(6) for layer in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Sigmoid()))),
        (vector,))


def cases():
    """All cases, the large ones last."""
    found = [*_named_models(), *_convolutions(), *_folding(), *_layers(), *_expressions(),
             *_nets(), *_more_layers(), *_more_expressions(), *_more_operators(), *_doubles()]
    return sorted(found, key=lambda case: case.large)
