"""The two data sets the bundled models are trained on."""

import gzip
import pathlib

import numpy as np
import torch

FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")


def make_circles(n_samples, noise, factor, random_state):
    """Two noisy concentric circles, the very points of scikit-learn's make_circles.

    Returns float64 points [n_samples, 2] and labels [n_samples], 0 outside and 1 inside.
    """
    generator = np.random.RandomState(random_state)
    outside = n_samples // 2
    inside = n_samples - outside
    angle_out = np.linspace(0, 2 * np.pi, outside, endpoint=False)
    angle_in = np.linspace(0, 2 * np.pi, inside, endpoint=False)
    points = np.stack(
        [np.append(np.cos(angle_out), np.cos(angle_in) * factor),
         np.append(np.sin(angle_out), np.sin(angle_in) * factor)], axis=1)
    labels = np.append(np.zeros(outside, np.int64), np.ones(inside, np.int64))
    order = np.arange(n_samples)
    generator.shuffle(order)
    return points[order] + generator.normal(scale=noise, size=points.shape), labels[order]


def circles():
    """The points and labels of the circle nets, float32 [2000, 2] and int64 [2000]."""
    points, labels = make_circles(2000, noise=0.1, factor=0.4, random_state=42)
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(labels)


def read_idx(path):
    """Reads a gzipped IDX file of bytes into a uint8 array."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def fashion_mnist(split, folder=FASHION_MNIST):
    """Images [N, 1, 28, 28] as float32 pixel / 255, and labels [N], of split "train" or "t10k"."""
    folder = pathlib.Path(folder)
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    images = torch.from_numpy(images.copy()).unsqueeze(1).float() / 255
    return images, torch.from_numpy(labels.astype(np.int64))
