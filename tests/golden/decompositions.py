"""Golden cases of operators that are written as others."""

import torch

from golden import Cases, random

INF, NAN = float("inf"), float("nan")
cases = Cases("decompositions")

x, y, z = random(2, 3, 4, seed=1), random(2, 3, 4, seed=2), random(3, 1, seed=3, lo=0.5, hi=3)
mask = (random(3, 4, seed=4) > 0).float()
special = torch.tensor([[-INF, -INF, -INF], [1, -INF, 2], [INF, 0, 1], [INF, -INF, 0], [NAN, 0, 1],
                        [100, 100, 100]])

cases.add("addcmul", "aten.addcmul.default", {"self": x, "tensor1": y, "tensor2": z}, magnitude=8)
cases.add("addcmul value", "aten.addcmul.default",
          {"self": x, "tensor1": y, "tensor2": z, "value": -0.3}, magnitude=8)
cases.add("addcdiv", "aten.addcdiv.default", {"self": x, "tensor1": y, "tensor2": z, "value": 2},
          magnitude=10)
for weight in [0, 0.3, 0.9, 1, 2.5]:
    cases.add(f"lerp {weight}", "aten.lerp.Scalar", {"self": x, "end": y, "weight": weight},
              magnitude=10)
cases.add("lerp tensor", "aten.lerp.Tensor", {"self": x, "end": y, "weight": z}, magnitude=16)
cases.add("masked_fill", "aten.masked_fill.Scalar", {"self": x, "mask": mask, "value": -INF})
cases.add("masked_fill tensor", "aten.masked_fill.Tensor",
          {"self": x, "mask": mask, "value": torch.tensor(1.5)})
cases.add("where other", "aten.where.ScalarOther", {"condition": mask, "self": x, "other": 2})
cases.add("where self", "aten.where.ScalarSelf", {"condition": mask, "self": -INF, "other": x})
cases.add("where numbers", "aten.where.Scalar", {"condition": mask, "self": 0.5, "other": -1})
cases.add("clamp tensors", "aten.clamp.Tensor", {"self": x, "min": y - 1, "max": z - 1})
cases.add("clamp crossed", "aten.clamp.Tensor", {"self": x, "min": y + 3, "max": z - 1})
cases.add("clamp min", "aten.clamp.Tensor", {"self": special, "min": torch.tensor([0.0, NAN, 3])})
cases.add("clamp max", "aten.clamp.Tensor", {"self": x, "min": None, "max": y})
cases.add("clamp_min", "aten.clamp_min.Tensor", {"self": x, "min": y})
cases.add("clamp_max", "aten.clamp_max.Tensor", {"self": x, "max": y})
for dim, keepdim in [([0], False), ([-1], True), ([1, 2], False), ([0, 2], True)]:
    args = {"self": x, "dim": dim, "keepdim": keepdim}
    cases.add(f"logsumexp {dim} {keepdim}", "aten.logsumexp.default", args, length=8)
    for op in ["any", "all"]:
        if dim:
            cases.add(f"{op} {dim} {keepdim}", f"aten.{op}.dims",
                      {**args, "self": mask.expand(2, 3, 4)})
cases.add("logsumexp special", "aten.logsumexp.default", {"self": special, "dim": [1]})
for op in ["and", "or"]:
    cases.add(f"logical_{op}", f"aten.logical_{op}.default",
              {"self": torch.tensor([[0.0], [-2], [NAN]]), "other": torch.tensor([0.0, 1, NAN])})
cases.add("any", "aten.any.default", {"self": mask})
cases.add("all", "aten.all.dim", {"self": torch.tensor([[1.0, NAN], [0, -1]]), "dim": 1})
for op in ["var_mean", "std_mean"]:
    cases.add(op, f"aten.{op}.correction", {"self": x, "dim": [0, 2]}, length=8)
    cases.add(f"{op} 0", f"aten.{op}.correction",
              {"self": x, "dim": [1], "correction": 0, "keepdim": True}, length=8)
    cases.add(f"{op} biased", f"aten.{op}.dim", {"self": x, "dim": [2], "unbiased": False}, length=8)
    cases.add(f"{op} of all", f"aten.{op}.default", {"self": x}, length=8)
cases.write()
