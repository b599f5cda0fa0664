"""The models by name: how each is built, what it takes, how it is trained."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from my_model import MyModel, MyModelWithoutBN
from nets.circles import NetWithBN, NetWithoutBN
from nets.densenet import densenet
from nets.lenet import lenet
from nets.mlp import mlp
from nets.resnet import ResidualBlock, resnet18, resnet50, small_resnet18


class Entry(NamedTuple):
    build: Callable[[], nn.Module]
    shape: tuple  # Of one sample, with the batch of 1.
    data: str | None = None  # What it is trained on; untrained models get random weights.


TRAINED = {
    "net_with_bn": Entry(NetWithBN, (1, 2), "circles"),
    "net_without_bn": Entry(NetWithoutBN, (1, 2), "circles"),
    "my_model": Entry(lambda: MyModel(2, 2), (1, 2), "circles"),
    "my_model_without_bn": Entry(lambda: MyModelWithoutBN(2, 2), (1, 2), "circles"),
    "lenet_bn": Entry(lambda: lenet("builtin"), (1, 1, 28, 28), "fashion-mnist"),
    "lenet_bn_custom": Entry(lambda: lenet("custom"), (1, 1, 28, 28), "fashion-mnist"),
    "mlp": Entry(lambda: mlp(None), (1, 1, 28, 28), "fashion-mnist"),
    "mlp_bn": Entry(lambda: mlp("builtin"), (1, 1, 28, 28), "fashion-mnist"),
    "mlp_bn_custom": Entry(lambda: mlp("custom"), (1, 1, 28, 28), "fashion-mnist"),
}

GENERATED = {
    "residual_block": Entry(lambda: ResidualBlock(3, 3), (1, 3, 6, 6)),
    "residual_block_1x1": Entry(lambda: ResidualBlock(3, 6, use_1x1=True, stride=2), (1, 3, 6, 6)),
    "resnet18_1x224": Entry(small_resnet18, (1, 1, 224, 224)),
    "resnet18": Entry(resnet18, (1, 3, 224, 224)),
    "resnet50": Entry(resnet50, (1, 3, 224, 224)),
    "densenet": Entry(densenet, (1, 1, 96, 96)),
}
