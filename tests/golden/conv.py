"""Golden cases of convolutions, linear layers and matrix products."""

import torch

from golden import Cases, random

cases = Cases("conv")
seeds = iter(range(100, 1000))


def tensor(*shape):
    return random(*shape, seed=next(seeds), lo=-1, hi=1)


def conv(name, target, x, w, bias=None, **args):
    inputs = {"input": tensor(*x), "weight": tensor(*w)}
    inputs["bias"] = None if bias is None else tensor(bias)
    length = 1
    for size in w[1:] if "transpose" not in target else w:
        length *= size
    cases.add(name, f"aten.{target}", {**inputs, **args}, constants=("weight", "bias"),
              length=length)


conv("plain", "conv2d.default", (2, 3, 5, 4), (4, 3, 3, 2), 4)
conv("stride and padding", "conv2d.default", (1, 2, 7, 6), (5, 2, 3, 3), 5, stride=[2, 1],
     padding=[1, 2])
conv("one number for all axes", "conv2d.default", (1, 2, 7, 6), (3, 2, 3, 3), stride=[2],
     padding=[1], dilation=[2])
conv("dilation and groups", "conv2d.default", (1, 4, 7, 7), (6, 2, 3, 3), 6, dilation=[2, 1],
     groups=2)
conv("depthwise", "conv2d.default", (1, 5, 5, 6), (5, 1, 3, 3), 5, padding=[1, 1], groups=5)
conv("depthwise multiplier", "conv2d.default", (1, 3, 5, 5), (6, 1, 3, 3), padding=[1, 1],
     groups=3)
conv("unbatched", "conv2d.default", (3, 5, 4), (4, 3, 3, 2), 4, padding=[1, 1])
conv("same, even kernel", "conv2d.padding", (1, 2, 5, 6), (3, 2, 4, 2), 3, padding="same")
conv("same, dilated", "conv2d.padding", (1, 2, 6, 6), (3, 2, 3, 3), 3, padding="same",
     dilation=[2, 1])
conv("valid", "conv2d.padding", (1, 2, 5, 6), (3, 2, 3, 3), 3, stride=[2, 2], padding="valid")
conv("1d", "conv1d.default", (2, 3, 9), (4, 3, 4), 4, stride=[2], padding=[3])
conv("1d same", "conv1d.padding", (2, 3, 9), (4, 3, 4), 4, padding="same")
conv("3d", "conv3d.default", (1, 2, 3, 4, 5), (3, 2, 2, 3, 2), 3, stride=[1, 2, 1],
     padding=[1, 0, 1])
conv("3d same", "conv3d.padding", (1, 2, 3, 4, 3), (2, 2, 2, 3, 2), 2, padding="same")

conv("transposed", "conv_transpose2d.input", (2, 3, 4, 3), (3, 4, 3, 2), 4)
conv("transposed, stride 2", "conv_transpose2d.input", (1, 3, 4, 3), (3, 4, 3, 3), 4,
     stride=[2, 2], padding=[1, 1], output_padding=[1, 0])
conv("transposed, grouped", "conv_transpose2d.input", (1, 4, 4, 3), (4, 3, 4, 2), 6, stride=[2, 3],
     groups=2)
conv("transposed, equal channels", "conv_transpose2d.input", (1, 4, 3, 3), (4, 4, 3, 3), 4,
     stride=[2, 2], dilation=[2, 3], padding=[1, 0])
conv("transposed, depthwise", "conv_transpose2d.input", (1, 4, 4, 3), (4, 1, 3, 3), 4,
     stride=[2, 2], groups=4)
conv("transposed 1d", "conv_transpose1d.default", (2, 3, 5), (3, 2, 4), 2, stride=[3], padding=[1])
conv("transposed 3d", "conv_transpose3d.input", (1, 2, 2, 3, 2), (2, 3, 2, 3, 2), 3,
     stride=[2, 1, 2])


def convolution(name, x, w, bias, transposed=False, output_padding=(0, 0), **args):
    conv(name, "convolution.default", x, w, bias,
         transposed=transposed, output_padding=list(output_padding), **args)


convolution("core ATen", (1, 4, 5, 5), (6, 2, 3, 3), 6, stride=[1, 1], padding=[1, 1],
            dilation=[1, 1], groups=2)
convolution("core ATen, transposed", (1, 4, 3, 3), (4, 3, 3, 3), 6, transposed=True, stride=[2, 2],
            padding=[1, 1], dilation=[1, 1], output_padding=(1, 1), groups=2)
convolution("core ATen, 1d", (1, 4, 7), (6, 4, 3), None, stride=[2], padding=[1], dilation=[1],
            output_padding=[0], groups=1)

for name, x in [("vector", (6,)), ("matrix", (3, 6)), ("rank 4", (2, 1, 3, 6))]:
    cases.add(f"linear {name}", "aten.linear.default",
              {"input": tensor(*x), "weight": tensor(5, 6), "bias": tensor(5)},
              constants=("weight", "bias"), length=6)
cases.add("linear without bias", "aten.linear.default",
          {"input": tensor(3, 6), "weight": tensor(5, 6)}, constants=("weight",), length=6)
for name, bias in [("", (5,)), (" row", (1, 5)), (" one number", (1,))]:
    cases.add(f"addmm{name}", "aten.addmm.default",
              {"self": tensor(*bias), "mat1": tensor(3, 6), "mat2": tensor(6, 5), "beta": 0.5,
               "alpha": 1.5}, constants=("self", "mat2"), length=6)
cases.add("addmm of a matrix", "aten.addmm.default",
          {"self": tensor(3, 5), "mat1": tensor(3, 6), "mat2": tensor(6, 5)},
          constants=("mat2",), length=6)
cases.add("addmm beta 0", "aten.addmm.default",
          {"self": torch.full((5,), float("nan")), "mat1": tensor(3, 6), "mat2": tensor(6, 5),
           "beta": 0}, constants=("self", "mat2"), length=6)
cases.add("mm", "aten.mm.default", {"self": tensor(3, 6), "mat2": tensor(6, 5)}, length=6)
cases.add("mm by a constant", "aten.mm.default", {"self": tensor(3, 6), "mat2": tensor(6, 5)},
          constants=("mat2",), length=6)
cases.add("bmm", "aten.bmm.default", {"self": tensor(2, 3, 6), "mat2": tensor(2, 6, 5)}, length=6)
for x, y in [((6,), (6,)), ((3, 6), (6,)), ((6,), (6, 5)), ((2, 3, 6), (6,)), ((6,), (2, 6, 5)),
             ((2, 1, 3, 6), (4, 6, 5)), ((3, 6), (2, 6, 5)), ((2, 3, 6), (6, 5))]:
    cases.add(f"matmul {list(x)} {list(y)}", "aten.matmul.default",
              {"self": tensor(*x), "other": tensor(*y)}, length=6)
cases.add("mv", "aten.mv.default", {"self": random(3, 5, seed=1), "vec": random(5, seed=2)}, length=5)
cases.add("dot", "aten.dot.default", {"self": random(5, seed=1), "tensor": random(5, seed=2)}, length=5)
cases.add("vdot", "aten.vdot.default", {"self": random(5, seed=1), "other": random(5, seed=2)}, length=5)
cases.add("matmul by a constant", "aten.matmul.default",
          {"self": tensor(2, 3, 6), "other": tensor(6, 5)}, constants=("other",), length=6)

cases.write()
