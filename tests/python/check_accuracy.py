#!/usr/bin/env python3
"""Measures the errors of whole models with each --accuracy, and fails where they are too large.

    python tests/python/check_accuracy.py [--plica PATH] [--models FOLDER] [PATTERN ...]

The models are those of check_zoo.py and, where there are any, those that bench/compare has
exported. An error is the largest difference from PyTorch's float64 result, in units of the largest
output, the worst of some inputs. A model passes if
  - the error with default settings is at most 3e-5, or twice that of direct summation;
  - the error with --accuracy strict is at most twice that of direct summation, or one rounding of
    the largest output.
The table has the largest errors with default settings; "of limit" is what there is of both limits.
"""

import argparse
import copy
import pathlib
import sys
import tempfile
import warnings

import common  # First, since it skips where PyTorch is missing.

import torch

import patterns
from check_zoo import ROUNDING, Failure, Plica, build, relative_errors, run_torch
from plica_export import check, module, program
from plica_export.errors import Refusal
from zoo_cases import cases

SETTINGS = ("default", "strict", "direct")
DEFAULT_LIMIT = 3e-5
DIRECT_TIMES = 2
INPUTS = 4


def measure(plica, file, model, inputs_of):
    """The error of each setting and of PyTorch in float32, the worst of several inputs."""
    double = copy.deepcopy(model).double()
    worst = dict.fromkeys((*SETTINGS, "PyTorch"), 0.0)
    for seed in range(INPUTS):
        inputs = inputs_of(seed)
        exact = module.run(double, [array.double() for array in inputs])
        found = {name: plica.run(file, inputs, options=("--accuracy", name)) for name in SETTINGS}
        found["PyTorch"] = run_torch(model, inputs)
        for name, outputs in found.items():
            worst[name] = max(worst[name], *relative_errors(outputs, exact))
    return worst


def measure_case(plica, case, folder):
    """A model of check_zoo.py, with a batch of 5."""
    model = build(case)
    exported, dynamic = program.to_program(model, case.shapes, lambda text: None, batch_max=64)
    file = pathlib.Path(folder) / "model.pt2"
    program.save(exported, file)
    batch = None if not dynamic else 2 if case.large else 5
    return measure(plica, file, model,
                   lambda seed: module.random_inputs(case.shapes, batch, seed=20 + seed))


def measure_file(plica, file):
    """A model that bench/compare has exported, whose shapes are fixed."""
    exported = torch.export.load(file)
    names = exported.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in exported.graph.nodes if node.name in names]
    return measure(plica, file, exported.module(),
                   lambda seed: module.random_inputs(shapes, seed=20 + seed))


def excess(errors):
    """The largest ratio of an error to its limit; above 1 is a failure."""
    direct = errors["direct"]
    return max(errors["default"] / max(DEFAULT_LIMIT, DIRECT_TIMES * direct),
               errors["strict"] / max(ROUNDING, DIRECT_TIMES * direct))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    patterns.add_to(parser, "models")
    parser.add_argument("--plica", help="the plica command (default: build folders, then PATH)")
    parser.add_argument("--models", type=pathlib.Path,
                        default=common.ROOT / ".cache" / "peers" / "models",
                        help="folder of the models that bench/compare has exported")
    parser.add_argument("--rows", type=int, default=30, help="rows of the table (default: 30)")
    args = parser.parse_args()
    command = check.find_plica(args.plica)
    if command is None:
        parser.error("plica was not found: build it, or give --plica")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        plica = Plica(command, folder)
        jobs = [(path.stem, lambda path=path: measure_file(plica, path))
                for path in sorted(args.models.glob("*.b[0-9]*.pt2"))
                if not path.stem.endswith(".aoti")]
        jobs += [(case.name, lambda case=case: measure_case(plica, case, folder))
                 for case in cases() if not case.mixes]
        for name, job in jobs:
            if not patterns.matches(name, args.patterns):
                continue
            try:
                rows.append((name, job()))
            except (Failure, Refusal) as error:
                failures.append(f"{name}: {error}")
            if sys.stderr.isatty():
                print(f"\r{len(rows)} models measured ", end="", file=sys.stderr, flush=True)
    rows.sort(key=lambda row: -row[1]["default"])
    print(f"{'model':44} {'of limit':>8}", *(f"{name:>8}" for name in (*SETTINGS, "PyTorch")))
    for name, errors in rows[:args.rows]:
        print(f"{name[:44]:44} {excess(errors):8.2f}",
              *(f"{error:8.1e}" for error in errors.values()))
    failures += [f"{name}: too large" for name, errors in rows if excess(errors) > 1]
    for line in failures:
        print(f"FAILED: {line}")
    print(f"{len(rows)} models, largest error with default settings "
          f"{max((errors['default'] for _, errors in rows), default=0):.1e}, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
