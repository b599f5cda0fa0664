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
    found = [*_named_models(), *_convolutions(), *_folding(), *_layers(), *_expressions()]
    return sorted(found, key=lambda case: case.large)
