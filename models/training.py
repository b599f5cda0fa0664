"""Training loops of the bundled models, and the accuracy that PyTorch measures for them."""

import sys

import torch
from torch import nn

from datasets import circles, fashion_mnist

BATCH = 256


def show(name, done, total, text):
    """A progress line: redrawn on a terminal, one line per tenth elsewhere."""
    if sys.stderr.isatty():
        bar = "#" * (24 * done // total)
        end = "\n" if done == total else ""
        print(f"\r{name:22} [{bar:24}] {text}", end=end, file=sys.stderr, flush=True)
    elif done == total or done % max(1, total // 10) == 0:
        print(f"{name:22} {done}/{total} {text}", file=sys.stderr, flush=True)


def evaluate(model, inputs, labels):
    """What the record says about accuracy; inputs [N, ...], labels [N].

    smallest_margin is the least distance between the two largest outputs of any sample. As long as
    another engine's error stays well below half of it, that engine counts exactly as many correct.
    """
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in inputs.split(BATCH)])
    top = outputs.topk(2, dim=1)
    correct = int((top.indices[:, 0] == labels).sum())
    return {
        "samples": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "smallest_margin": float((top.values[:, 0] - top.values[:, 1]).min()),
    }


def train_circles(name, model, epochs=500, rate=0.1):
    """Full-batch SGD on 1,600 of the 2,000 points; evaluates on the other 400.

    Returns the optimizer and the record.
    """
    points, labels = circles()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    criterion = nn.CrossEntropyLoss()
    model.train()
    for epoch in range(1, epochs + 1):
        optimizer.zero_grad()
        loss = criterion(model(points[:1600]), labels[:1600])
        loss.backward()
        optimizer.step()
        show(name, epoch, epochs, f"loss {loss.item():.4f}")
    return optimizer, {
        "data": {
            "set": "make_circles(2000, noise=0.1, factor=0.4, random_state=42)",
            "split": "points 1600 to 1999",
            "divide_by": 1, "mean": 0, "std": 1,
        },
        "training": {"optimizer": f"SGD, rate {rate}", "epochs": epochs},
        **evaluate(model, points[1600:], labels[1600:]),
    }


def train_fashion_mnist(name, model, epochs, rate=0.01):
    """Adam with a one-cycle rate on the 60,000 training images; evaluates on all 10,000 test
    images. Returns the record."""
    images, labels = fashion_mnist("train")
    optimizer = torch.optim.Adam(model.parameters())
    steps = (len(images) + BATCH - 1) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, epochs=epochs, steps_per_epoch=steps)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for step, chosen in enumerate(torch.randperm(len(images)).split(BATCH), 1):
            optimizer.zero_grad()
            loss = criterion(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
            show(name, epoch * steps + step, epochs * steps, f"loss {loss.item():.4f}")
    return {
        "data": {
            "set": "FashionMNIST", "split": "t10k, all 10,000 images",
            "divide_by": 255, "mean": 0, "std": 1,
        },
        "training": {"optimizer": f"Adam, one cycle to rate {rate}", "epochs": epochs},
        **evaluate(model, *fashion_mnist("t10k")),
    }
