#!/usr/bin/env python3
"""Writes the .pt2 files beside it with torch.export.save, and prints what PyTorch computes."""
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent


class Features(nn.Module):
    """Tied and strided weights, a non-persistent buffer, a tensor attribute, a literal, an
    in-place operator, torch.no_grad, nested outputs with None, an int and a parameter."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.bn = nn.BatchNorm1d(3)
        self.register_buffer("shift", torch.tensor([1.0, 2.0, 3.0]), persistent=False)
        self.register_buffer("turned", torch.arange(9.0).reshape(3, 3).t())

    def forward(self, x):
        y = torch.relu_(self.bn(self.a(x)))
        with torch.no_grad():
            y = self.b(y) + self.shift
        y = y @ self.turned + torch.tensor([0.5])
        return {"y": y, "rest": [None, 3, self.a.weight]}


def save(program, name):
    """Without stack traces, which hold this machine's paths."""
    modules = [module for module in program.graph_module.modules() if hasattr(module, "graph")]
    for node in (node for module in modules for node in module.graph.nodes):
        node.meta.pop("stack_trace", None)
    torch.export.save(program, HERE / name)


def main():
    torch.manual_seed(1)
    batch = torch.export.Dim("batch", min=1, max=64)
    tiny = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(inplace=True))
    example = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    shapes = ({0: batch},)
    train = torch.export.export(tiny, (example,))
    save(train, "train.pt2")
    tiny.eval()
    save(torch.export.export(tiny, (example,), dynamic_shapes=shapes), "tiny.pt2")
    features = Features().eval()
    example = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, 0.25]])
    program = torch.export.export(features, (example,), dynamic_shapes=shapes)
    save(program, "features.pt2")
    for name, module in (("tiny", tiny), ("features", features)):
        print(name, module)


if __name__ == "__main__":
    main()
