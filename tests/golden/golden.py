"""Writes golden cases: what PyTorch computes in float64 for one operator each.

    cases = Cases("pool")
    cases.add("max 3x3", "aten.max_pool2d.default", {"self": x, "kernel_size": [3, 3]})
    cases.write()

Every tensor argument is rounded to float32 first, so that the file holds it exactly. The file's
format is in tests/ops/golden_test.cpp.
"""

import json
import math
import pathlib

import torch


def _number(x):
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return int(x) if x == int(x) and abs(x) < 2**53 and math.copysign(1, x) * (x or 1) > 0 else x


def _tensor(t):
    return {"shape": list(t.shape), "data": [_number(x) for x in t.flatten().tolist()]}


def random(*shape, seed, lo=-2.0, hi=2.0):
    """A float32 tensor whose numbers are short: multiples of 1/256."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator) * (hi - lo) + lo
    return torch.round(x * 256) / 256


def operator(target):
    """torch.ops.aten.conv2d.default for "aten.conv2d.default"."""
    found = torch.ops
    for part in target.split("."):
        found = getattr(found, part)
    return found


class Cases:
    def __init__(self, family):
        self.path = pathlib.Path(__file__).parent / f"{family}.json"
        self.cases = []

    def add(self, name, target, args, constants=(), length=1, magnitude=None, outputs=None):
        """`args` by the names of the operator's schema; `constants` are the names of those whose
        tensors are weights. `length`: how many products a result sums; `magnitude`: size of
        the terms, where they are larger than the results. The tolerance of float32 comes from
        both. `outputs`: how many of the operator's outputs count (default: all)."""
        inputs = []
        written = {}
        called = {}

        def put(tensor, constant):
            exact = tensor.to(torch.float32).to(torch.float64)
            inputs.append({**_tensor(exact), "constant": constant})
            return exact, len(inputs) - 1

        for key, value in args.items():
            constant = key in constants
            if isinstance(value, torch.Tensor):
                called[key], index = put(value, constant)
                if key in ("condition", "mask"):
                    called[key] = called[key].bool()
                if key in ("index", "indices"):
                    called[key] = called[key].long()
                written[key] = {"tensor": index}
            elif isinstance(value, (list, tuple)) and any(torch.is_tensor(t) for t in value):
                pairs = [(None, None) if t is None else put(t, constant) for t in value]
                called[key] = [t.long() if key == "indices" and t is not None else t
                               for t, _ in pairs]
                written[key] = {"tensors": [i for _, i in pairs]}
            else:
                called[key] = value
                written[key] = _number(value) if isinstance(value, float) and not math.isfinite(
                    value) else value
        with torch.no_grad():
            result = operator(target)(**called)
        results = [result] if torch.is_tensor(result) else list(result)
        case = {
            "name": name,
            "target": target,
            "args": written,
            "inputs": inputs,
            "outputs": [_tensor(t.to(torch.float64)) for t in results[:outputs]],
        }
        if length != 1:
            case["length"] = length
        if magnitude is not None:
            case["magnitude"] = magnitude
        self.cases.append(case)

    def write(self):
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        self.path.write_text(f"[\n{lines}\n]\n")
        print(f"{self.path.name}: {len(self.cases)} cases, {self.path.stat().st_size} bytes")
