"""Golden cases of pooling, reductions, softmax and norms on data."""

import torch

from golden import Cases, random

INF, NAN = float("inf"), float("nan")

cases = Cases("reduce")


def pool(kind, dims, note, x, **args):
    cases.add(f"{kind}_pool{dims}d {note}", f"aten.{kind}_pool{dims}d.default",
              {"self": x, **args}, outputs=1)


image = random(2, 2, 5, 6, seed=1)
one = random(1, 1, 7, 6, seed=10)
signal = random(1, 2, 11, seed=2)
volume = random(1, 1, 5, 4, 4, seed=3)

for kind in ["max", "avg"]:
    pool(kind, 2, "2x2", image, kernel_size=[2, 2])
    pool(kind, 2, "3x3 stride 2 padding 1", image, kernel_size=[3, 3], stride=[2, 2],
         padding=[1, 1])
    pool(kind, 2, "one number for both axes", one, kernel_size=[3], stride=[2], padding=[1])
    pool(kind, 2, "uneven", one, kernel_size=[4, 2], stride=[3, 1], padding=[2, 0])
    for padding in [0, 1]:
        for kernel, stride in [(2, 2), (3, 2), (2, 3), (3, 4), (5, 5)]:
            if padding <= kernel // 2:
                pool(kind, 2, f"ceil {kernel} stride {stride} padding {padding}", one,
                     kernel_size=[kernel], stride=[stride], padding=[padding], ceil_mode=True)
    pool(kind, 2, "whole image", image, kernel_size=[5, 6])
    pool(kind, 2, "without batch", image[0], kernel_size=[3, 3], stride=[2, 2])
    pool(kind, 2, "1x1 stride 2", one, kernel_size=[1, 1], stride=[2, 2])
    pool(kind, 2, "one channel", one, kernel_size=[2, 2])
    pool(kind, 1, "3 stride 2", signal, kernel_size=[3], stride=[2], padding=[1])
    pool(kind, 1, "ceil", signal, kernel_size=[4], stride=[4], ceil_mode=True)
    pool(kind, 1, "without batch", signal[0], kernel_size=[2])
    pool(kind, 3, "2x2x2", volume, kernel_size=[2, 2, 2])
    pool(kind, 3, "ceil padding", volume, kernel_size=[3, 2, 3], stride=[2, 2, 2],
         padding=[1, 1, 0], ceil_mode=True)
    pool(kind, 3, "without batch", volume[0], kernel_size=[2, 3, 2], stride=[1, 1, 2])

pool("max", 2, "dilation", one, kernel_size=[2, 3], stride=[1, 2], dilation=[3, 2])
pool("max", 2, "dilation padding ceil", one, kernel_size=[3, 3], stride=[2, 2], padding=[1, 1],
     dilation=[2, 2], ceil_mode=True)
pool("max", 1, "empty window", torch.ones(1, 1, 1), kernel_size=[2], padding=[1], dilation=[2])
pool("max", 3, "dilation", volume, kernel_size=[2, 2, 2], stride=[1, 1, 1], dilation=[3, 2, 3])
special = torch.tensor([[1, NAN, 2, 3, -INF, -INF], [0, 5, INF, 7, -INF, -INF]]).reshape(1, 1, 2, 6)
pool("max", 2, "NaN and infinities", special, kernel_size=[2, 2])
pool("avg", 2, "NaN and infinities", special, kernel_size=[2, 2])

for ceil in [False, True]:
    pool("avg", 2, f"padding not counted, ceil {ceil}", one, kernel_size=[3, 3], stride=[2, 2],
         padding=[1, 1], ceil_mode=ceil, count_include_pad=False)
    pool("avg", 2, f"divisor 5, ceil {ceil}", one, kernel_size=[3, 2], stride=[2, 2],
         padding=[1, 1], ceil_mode=ceil, divisor_override=5)
    pool("avg", 3, f"padding not counted, ceil {ceil}", volume, kernel_size=[3, 2, 3],
         stride=[2, 2, 2], padding=[1, 1, 1], ceil_mode=ceil, count_include_pad=False)
pool("avg", 2, "divisor -2", one, kernel_size=[2, 2], divisor_override=-2)
pool("avg", 1, "padding not counted", signal, kernel_size=[3], stride=[2], padding=[1],
     count_include_pad=False)
pool("avg", 1, "padding counted, ceil", signal, kernel_size=[4], stride=[3], padding=[2],
     ceil_mode=True)

for sizes in [[1, 1], [5, 6], [3, 4], [7, 8], [1, 5]]:
    note = f"to {sizes[0]}x{sizes[1]}"
    pool("adaptive_avg", 2, note, image, output_size=sizes)
    cases.add(f"_adaptive_avg_pool2d {note}", "aten._adaptive_avg_pool2d.default",
              {"self": image[:1, :1], "output_size": sizes})
    pool("adaptive_max", 2, note, image, output_size=sizes)
pool("adaptive_max", 1, "to 3", signal, output_size=[3])
pool("adaptive_max", 3, "to 2x3x4", volume, output_size=[2, 3, 4])
cases.add("max_pool2d_with_indices", "aten.max_pool2d_with_indices.default",
          {"self": image, "kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}, outputs=1)
cases.add("max_pool3d_with_indices", "aten.max_pool3d_with_indices.default",
          {"self": volume, "kernel_size": [2, 2, 2]}, outputs=1)
pool("adaptive_avg", 1, "to 4", signal, output_size=[4])
pool("adaptive_avg", 1, "to 1", signal[0], output_size=[1])
pool("adaptive_avg", 3, "to 2x3x4", volume, output_size=[2, 3, 4])
pool("adaptive_avg", 2, "without batch", image[0], output_size=[2, 2])

REDUCED = [[0], [1], [-1], [2, 3], [0, 2, 3], [1, 2, 3], [-1, 0], []]
small = random(2, 3, 2, 4, seed=4)
for dim in REDUCED:
    for keepdim in [False, True]:
        note = f"over {dim}{' keepdim' if keepdim else ''}"
        args = {"self": small, "dim": dim, "keepdim": keepdim}
        cases.add(f"sum {note}", "aten.sum.dim_IntList", args, magnitude=40)
        cases.add(f"mean {note}", "aten.mean.dim", args, magnitude=2)
        if keepdim:
            cases.add(f"amax {note}", "aten.amax.default", args)
            cases.add(f"amin {note}", "aten.amin.default", args)
            cases.add(f"var {note}", "aten.var.correction", {**args, "correction": 0})
            cases.add(f"std {note}", "aten.std.correction", {**args, "correction": 1})
cases.add("sum of all", "aten.sum.default", {"self": small}, magnitude=40)
cases.add("mean of all", "aten.mean.default", {"self": small}, magnitude=2)
cases.add("var of all", "aten.var.default", {"self": small})
cases.add("var biased", "aten.var.dim", {"self": small, "dim": [2], "unbiased": False})
cases.add("var default correction", "aten.var.correction", {"self": small, "dim": [1]})
cases.add("var of one", "aten.var.correction", {"self": small[..., :1], "dim": [3]})
cases.add("mean None", "aten.mean.dim", {"self": small, "dim": None})
cases.add("mean NaN", "aten.mean.dim", {"self": special, "dim": [2]})
cases.add("amax NaN", "aten.amax.default", {"self": special, "dim": [2]})
cases.add("amin NaN", "aten.amin.default", {"self": special, "dim": [3]})
cases.add("mean of a scalar", "aten.mean.default", {"self": torch.tensor(1.5)})

wide = random(2, 5, 3, seed=5, lo=-20, hi=20)
extreme = torch.tensor([[0, -INF, 1, 80], [1e4, -1e4, 1e4, 0], [NAN, 1, 2, 3],
                        [-INF, -INF, -INF, -INF], [INF, 0, 1, 2], [-200, -100, -50, 0]])
for dim in [1, -3, 3]:
    cases.add(f"glu {dim}", "aten.glu.default", {"self": random(2, 6, 3, 4, seed=9), "dim": dim})
cases.add("glu of the last axis", "aten.glu.default", {"self": random(5, 34, seed=9, lo=-90, hi=90)})
cases.add("glu of a signal", "aten.glu.default", {"self": random(2, 40, 7, seed=9), "dim": 1})

for name in ["softmax", "log_softmax"]:
    for dim in [0, 1, 2, -1]:
        cases.add(f"{name} {dim}", f"aten.{name}.int", {"self": wide, "dim": dim})
        cases.add(f"_{name} {dim}", f"aten._{name}.default",
                  {"self": wide[:1], "dim": dim, "half_to_float": False})
    cases.add(f"{name} image", f"aten.{name}.int", {"self": image[:1], "dim": 1})
    cases.add(f"{name} extreme", f"aten.{name}.int", {"self": extreme, "dim": 1})
    cases.add(f"{name} extreme columns", f"aten.{name}.int", {"self": extreme.T, "dim": 0})
    cases.add(f"{name} scalar", f"aten.{name}.int", {"self": torch.tensor(3.0), "dim": 0})

far = random(1, 6, 2, 3, seed=6) + 30
weight, bias = random(6, seed=7), random(6, seed=8)
for groups in [1, 2, 6]:
    cases.add(f"group_norm {groups}", "aten.group_norm.default",
              {"input": far, "num_groups": groups})
    cases.add(f"group_norm {groups} affine", "aten.group_norm.default",
              {"input": far, "num_groups": groups, "weight": weight, "bias": bias, "eps": 1e-3},
              constants=("weight", "bias"))
cases.add("native_group_norm", "aten.native_group_norm.default",
          {"input": far, "weight": weight, "bias": bias, "N": 1, "C": 6, "HxW": 6, "group": 3,
           "eps": 1e-5}, constants=("weight", "bias"), outputs=1)
cases.add("group_norm rank 2", "aten.group_norm.default",
          {"input": far[:, :, 0, 0], "num_groups": 2, "weight": weight},
          constants=("weight",))
for dims, keepdim in [([1], True), ([0, 2], False), (None, False)]:
    cases.add(f"vector norm {dims}", "aten.linalg_vector_norm.default",
              {"self": far, "ord": 2, "dim": dims, "keepdim": keepdim}, length=12)
cases.add("max.dim", "aten.max.dim", {"self": far, "dim": 1}, outputs=1)
cases.add("min.dim", "aten.min.dim", {"self": far, "dim": -1, "keepdim": True}, outputs=1)
cases.add("layer_norm last", "aten.layer_norm.default", {"input": far, "normalized_shape": [3]})
table = random(2, 3, seed=9)
cases.add("layer_norm affine", "aten.layer_norm.default",
          {"input": far, "normalized_shape": [2, 3], "weight": table, "bias": table * 2},
          constants=("weight", "bias"))
cases.add("layer_norm whole", "aten.layer_norm.default",
          {"input": far, "normalized_shape": [6, 2, 3], "eps": 1e-2})
cases.add("native_layer_norm", "aten.native_layer_norm.default",
          {"input": far, "normalized_shape": [3], "weight": table[0], "bias": None, "eps": 1e-5},
          constants=("weight",), outputs=1)
for affine in [False, True]:
    cases.add(f"instance_norm affine {affine}", "aten.instance_norm.default",
              {"input": far, "weight": weight if affine else None, "bias": bias if affine else None,
               "running_mean": None, "running_var": None, "use_input_stats": True,
               "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}, constants=("weight", "bias"))

cases.write()
