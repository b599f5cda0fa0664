"""Golden cases of pointwise and binary operators."""

import torch

from golden import Cases, random

INF, NAN = float("inf"), float("nan")

cases = Cases("pointwise")

wide = torch.tensor([-INF, -120, -90, -30, -6, -3.5, -3, -2.25, -1, -0.5, -1e-3, -1e-6, 0, 1e-6,
                     1e-3, 0.5, 1, 2.25, 3, 3.5, 6, 20, 20.5, 30, 80, INF, NAN])
positive = torch.tensor([0, 1e-30, 1e-6, 0.25, 0.75, 1, 1.5, 2, 100, 3e30, INF, NAN])
finite = random(3, 5, seed=1, lo=-4, hi=4)

for op in ["relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "sigmoid", "tanh", "silu",
           "gelu", "hardswish", "hardsigmoid", "softplus", "mish", "exp", "erf", "abs", "neg",
           "square", "reciprocal", "log_sigmoid", "selu", "expm1", "log1p", "sign",
           "floor", "ceil", "round", "trunc", "logical_not", "rrelu", "softshrink", "hardshrink"]:
    x = wide[wide < 50] if op in ("exp", "expm1") else wide
    cases.add(op, f"aten.{op}.default", {"self": x})
for op in ["sin", "cos", "exp2"]:
    cases.add(op, f"aten.{op}.default", {"self": wide if op != "exp2" else wide[wide < 20]})
    cases.add(f"{op} far", f"aten.{op}.default",
              {"self": torch.tensor([12345.678, -131072.5, 1e7, -3e30, 131071.0])
               if op != "exp2" else torch.tensor([-126.0, 127.0, -200.0])})
for op in ["eq", "ne"]:
    cases.add(op, f"aten.{op}.Scalar", {"self": wide, "other": -3})
for op in ["log", "log2", "log10", "sqrt", "rsqrt"]:
    cases.add(op, f"aten.{op}.default", {"self": positive})
    cases.add(f"{op} below 0", f"aten.{op}.default", {"self": torch.tensor([-1.0, -INF, -0.0])})

cases.add("hardtanh bounds", "aten.hardtanh.default", {"self": wide, "min_val": -2, "max_val": 3.5})
cases.add("clamp both", "aten.clamp.default", {"self": wide, "min": -1, "max": 2.5})
cases.add("clamp min only", "aten.clamp.default", {"self": wide, "min": 0.5, "max": None})
cases.add("clamp max only", "aten.clamp.default", {"self": wide, "max": 0.5})
cases.add("clamp crossed", "aten.clamp.default", {"self": wide, "min": 2, "max": 1})
cases.add("clamp_min", "aten.clamp_min.default", {"self": wide, "min": -3})
cases.add("clamp_max", "aten.clamp_max.default", {"self": wide, "max": -3})
cases.add("leaky_relu 0.3", "aten.leaky_relu.default", {"self": finite, "negative_slope": 0.3})
cases.add("leaky_relu -2", "aten.leaky_relu.default", {"self": wide, "negative_slope": -2})
cases.add("rrelu bounds", "aten.rrelu.default", {"self": wide, "lower": 0.1, "upper": 0.5})
cases.add("threshold", "aten.threshold.default", {"self": wide, "threshold": 0.5, "value": -7})
cases.add("softshrink 2.25", "aten.softshrink.default", {"self": wide, "lambd": 2.25})
cases.add("hardshrink 0", "aten.hardshrink.default", {"self": wide, "lambd": 0})
cases.add("elu 1.5", "aten.elu.default", {"self": wide, "alpha": 1.5})
cases.add("elu input_scale", "aten.elu.default", {"self": wide, "alpha": 2, "input_scale": 0.5})
cases.add("elu scale", "aten.elu.default", {"self": wide, "alpha": 1.673, "scale": 1.05})
cases.add("celu 2", "aten.celu.default", {"self": wide, "alpha": 2.0})
cases.add("gelu tanh", "aten.gelu.default", {"self": wide, "approximate": "tanh"})
cases.add("softplus beta", "aten.softplus.default", {"self": wide, "beta": 2, "threshold": 10})

for exponent in [0, 1, 2, 3, 0.5, -0.5, -1, -2, 1.7, -0.3]:
    x = positive if exponent != int(exponent) else finite
    if exponent < 0 and exponent == int(exponent):
        x = finite + 8
    x = x[(x != 0) | (exponent > 0)]
    # Beyond what a float holds.
    x = x[(x == INF) | (x != x) | ((x.double() ** exponent < 1e38) & (x.double() ** exponent > -1e38))]
    # The exponent itself is rounded to float32, which a base of 1e-30 magnifies.
    cases.add(f"pow {exponent}", "aten.pow.Tensor_Scalar", {"self": x, "exponent": exponent},
              magnitude=4e9 if exponent == -0.3 else None)

cases.add("add.Scalar", "aten.add.Scalar", {"self": finite, "other": 3})
cases.add("add.Scalar alpha", "aten.add.Scalar", {"self": finite, "other": 1.5, "alpha": 2})
cases.add("sub.Scalar", "aten.sub.Scalar", {"self": finite, "other": 0.1}, magnitude=4)
cases.add("number - x", "aten.sub.Tensor", {"self": 2.5, "other": finite}, magnitude=4)
cases.add("number + x", "aten.add.Tensor", {"self": 2, "other": finite, "alpha": -3}, magnitude=12)
cases.add("number * x", "aten.mul.Tensor", {"self": -0.3, "other": finite})
cases.add("mul.Scalar", "aten.mul.Scalar", {"self": finite, "other": -0.3})
cases.add("div.Scalar", "aten.div.Scalar", {"self": finite, "other": 3})
cases.add("div.Scalar by 0", "aten.div.Scalar", {"self": wide, "other": 0})
cases.add("rsub.Scalar", "aten.rsub.Scalar", {"self": finite, "other": 2, "alpha": 3}, magnitude=12)

image = random(2, 3, 2, 3, seed=2)
other = random(2, 3, 2, 3, seed=3, lo=0.5, hi=3)
for op in ["add", "sub", "mul", "div"]:
    target = f"aten.{op}.Tensor"
    cases.add(f"{op} same shape", target, {"self": image, "other": other}, magnitude=4)
    cases.add(f"{op} constant", target, {"self": image, "other": other}, constants=("other",),
              magnitude=4)
    for shape in [(3, 1, 1), (1, 3, 1, 1), (2, 1, 2, 1), (3,), (1,), (), (2, 3, 1, 1)]:
        y = random(*shape, seed=4, lo=0.5, hi=3)
        cases.add(f"{op} {list(shape)}", target, {"self": image, "other": y},
                  constants=("other",), magnitude=4)
    y = random(2, 1, 4, seed=5, lo=0.5, hi=3)
    cases.add(f"{op} both broadcast", target, {"self": random(3, 1, seed=6), "other": y},
              magnitude=4)
    cases.add(f"{op} constant left", target,
              {"self": random(1, 3, 1, 1, seed=7), "other": other}, constants=("self",),
              magnitude=4)
    cases.add(f"{op} rank 2", target, {"self": random(7, 3, seed=8),
                                       "other": random(1, 3, seed=9, lo=1, hi=2)},
              constants=("other",), magnitude=4)
    cases.add(f"{op} empty", target, {"self": random(0, 3, seed=8), "other": random(3, seed=9)})
cases.add("add alpha", "aten.add.Tensor", {"self": image, "other": other, "alpha": 0.3},
          magnitude=4)
cases.add("sub alpha", "aten.sub.Tensor", {"self": image, "other": other, "alpha": 2},
          magnitude=8)
cases.add("rsub.Tensor", "aten.rsub.Scalar", {"self": image, "other": 1.5}, magnitude=4)
cases.add("div.Tensor_mode", "aten.div.Tensor_mode",
          {"self": image, "other": other, "rounding_mode": None})
special = torch.tensor([-INF, -2, 0, 3, INF, NAN])
for op in ["maximum", "minimum"]:
    cases.add(op, f"aten.{op}.default", {"self": special[:, None], "other": special[None, :]})
for op in ["fmod", "remainder"]:
    for by in [2.5, -2.5, 3, INF, 0]:
        cases.add(f"{op} {by}", f"aten.{op}.Scalar",
                  {"self": torch.tensor([-7.5, -6.25, -2.5, -1, 0, 1, 2.5, 3, 6.25, 1e6, INF, NAN]),
                   "other": by})
for op in ["gt", "ge", "lt", "le", "eq", "ne"]:
    cases.add(f"{op} tensors", f"aten.{op}.Tensor",
              {"self": special[:, None], "other": special[None, :]})
cases.add("pow.Tensor_Tensor", "aten.pow.Tensor_Tensor",
          {"self": other, "exponent": random(3, 1, 1, seed=10)})
cases.add("pow.Tensor_Tensor special", "aten.pow.Tensor_Tensor",
          {"self": special[:, None], "exponent": special[None, :]})

cases.add("prelu one weight", "aten.prelu.default", {"self": image, "weight": torch.tensor([0.3])},
          constants=("weight",))
cases.add("prelu channels", "aten.prelu.default",
          {"self": image, "weight": torch.tensor([0.25, -0.5, 2.0])}, constants=("weight",))
cases.add("prelu rank 2", "aten.prelu.default",
          {"self": random(4, 3, seed=11), "weight": torch.tensor([0.25, -0.5, 2.0])},
          constants=("weight",))
cases.add("prelu rank 1", "aten.prelu.default", {"self": wide, "weight": torch.tensor([0.25])},
          constants=("weight",))
cases.add("_prelu_kernel", "aten._prelu_kernel.default",
          {"self": image, "weight": torch.tensor([0.25, -0.5, 2.0]).reshape(1, 3, 1, 1)},
          constants=("weight",))

for op in ["gt", "ge", "lt", "le"]:
    cases.add(op, f"aten.{op}.Scalar", {"self": wide, "other": 0.5})
cases.add("pow.Scalar", "aten.pow.Scalar", {"self": 2, "exponent": finite})
condition = (image > 0).float()
cases.add("where", "aten.where.self", {"condition": condition, "self": image, "other": other})
cases.add("where broadcast", "aten.where.self",
          {"condition": condition[:, :1], "self": random(3, 1, 1, seed=12), "other": other})
cases.add("where one number", "aten.where.self",
          {"condition": condition, "self": image, "other": torch.tensor(0.5)},
          constants=("other",))

cases.write()
