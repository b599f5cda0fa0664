"""Golden cases of batch_norm: eval mode, batch statistics, and every spelling of it."""

import torch

from golden import Cases, random

cases = Cases("norm_fold")


def statistics(c, seed):
    return {
        "running_mean": random(c, seed=seed),
        "running_var": random(c, seed=seed + 1, lo=0.25, hi=3),
    }


def affine(c, seed):
    return {"weight": random(c, seed=seed), "bias": random(c, seed=seed + 1)}


NONE = {"weight": None, "bias": None}
NO_STATISTICS = {"running_mean": None, "running_var": None}
CONSTANTS = ("weight", "bias", "running_mean", "running_var")


def add(name, shape, rest, target="aten.batch_norm.default", x=None, **more):
    x = random(*shape, seed=sum(shape)) if x is None else x
    cases.add(name, target, {"input": x, **rest}, constants=CONSTANTS, magnitude=8, outputs=1,
              **more)


mode = {"training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}
batch = {**mode, "training": True}
add("2-d", (3, 5, 4, 3), {**affine(5, 1), **statistics(5, 3), **mode})
add("1-d rows", (4, 7), {**affine(7, 1), **statistics(7, 3), **mode})
add("1-d sequences", (2, 3, 9), {**affine(3, 1), **statistics(3, 3), **mode})
add("3-d", (1, 2, 2, 3, 2), {**affine(2, 1), **statistics(2, 3), **mode})
add("no affine", (2, 3, 2, 2), {**NONE, **statistics(3, 3), **mode})
add("weight without bias", (2, 3, 2, 2),
    {"weight": random(3, seed=9), "bias": None, **statistics(3, 3), **mode})
add("large eps", (2, 3), {**affine(3, 1), **statistics(3, 3), **mode, "eps": 0.5})
add("variance 0", (2, 3), {**NONE, "running_mean": random(3, seed=2),
                           "running_var": torch.tensor([0.0, 1.0, 2.0]), **mode, "eps": 0.25})
add("tiny variance, as Inception has it", (2, 2),
    {**NONE, "running_mean": torch.zeros(2), "running_var": torch.tensor([1.9e-14, 1.0]), **mode,
     "eps": 1e-3}, x=random(2, 2, seed=5) / 16)
x = random(2, 3, 2, 2, seed=4)
x[0, 1, 0, 1] = float("nan")
x[1, 2, 1, 0] = float("inf")
add("nan and inf pass", (2, 3, 2, 2), {**affine(3, 1), **statistics(3, 3), **mode}, x=x)
add("batch statistics", (4, 3, 3, 2), {**affine(3, 1), **NO_STATISTICS, **batch}, length=72)
add("batch statistics of rows", (6, 5), {**NONE, **NO_STATISTICS, **batch}, length=6)
core = {"momentum": 0.1, "eps": 1e-5}
add("core ATen, eval", (3, 5, 4, 3), {**affine(5, 1), **statistics(5, 3), **core},
    "aten._native_batch_norm_legit_no_training.default")
add("core ATen, flag", (3, 5, 2, 3),
    {**affine(5, 1), **statistics(5, 3), "training": False, **core},
    "aten._native_batch_norm_legit.default")
add("core ATen, no statistics", (3, 5, 2, 3), {**affine(5, 1), "training": True, **core},
    "aten._native_batch_norm_legit.no_stats", length=18)
add("native", (3, 4, 2, 3), {**affine(4, 1), **statistics(4, 3), "training": False, **core},
    "aten.native_batch_norm.default")
cases.write()
