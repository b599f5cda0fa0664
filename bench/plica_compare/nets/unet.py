"""U-Net with BatchNorm: four levels, transposed convolutions on the way up."""

import torch
from torch import nn


def _block(inputs, channels):
    """Two 3x3 convolutions, each with BatchNorm and ReLU."""
    layers = []
    for before in (inputs, channels):
        layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False),
                   nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """[N, inputs, H, W] to [N, outputs, H, W]; H and W are multiples of 16."""

    def __init__(self, inputs=3, outputs=1, base=32, levels=4):
        super().__init__()
        widths = [base << level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            _block(before, width) for before, width in zip([inputs, *widths], widths))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_block(2 * width, width) for width in reversed(widths[:-1]))
        self.last = nn.Conv2d(base, outputs, 1)

    def forward(self, x):
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = self.pool(skips[-1])
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat((up(x), skips.pop()), dim=1))
        return self.last(x)
