#!/usr/bin/env python3
"""Compares plica with PyTorch on every model of models/ and more than 200 variants and small nets.

    python tests/python/check_zoo.py [--plica PATH] [--quick] [--list] [PATTERN ...]

For each: exports it with a dynamic batch, undecomposed and in core-ATen form, and runs plica with a
batch of 5. It passes if
  - every output is within 2e-6 of the float64 result, relative to the largest output, or within 8
    times the error of PyTorch's own float32 result: Winograd's is up to 4 times that of direct
    summation (winograd.h), which is about PyTorch's;
  - 1 and 2 threads give the same bits;
  - a sample has the same bits at another place of the batch, whatever the other samples are, and
    with --batch-invariant also alone;
  - a batch of 64 is as accurate.
Cases beyond 8 times PyTorch's error and beyond one float32 rounding of the largest output are
marked with *, and counted; --strict makes them failures. Exit code 1 if anything fails.
"""

import argparse
import contextlib
import copy
import io
import pathlib
import subprocess
import sys
import tempfile
import warnings

import common  # noqa: F401  First, since it skips where PyTorch is missing.

import numpy as np
import torch
from torch import nn

import patterns
from make import randomise
from plica_export import check, module, program
from plica_export.errors import Refusal
from zoo_cases import cases

LIMIT = 2e-6
ROUNDING = 2.0 ** -23


class Failure(Exception):
    """One line that says what is wrong with a case."""


class Plica:
    """Runs the plica command on arrays."""

    def __init__(self, command, folder):
        self.command, self.folder = command, pathlib.Path(folder)

    def run(self, file, inputs, threads=1, options=()):
        """The outputs, float32 arrays."""
        arguments = [self.command, "run", str(file), "--threads", str(threads), *options]
        for index, array in enumerate(inputs):
            path = self.folder / f"in{index}.npy"
            np.save(path, array.numpy())
            arguments += ["--input", str(path)]
        out = self.folder / "out"
        for old in out.glob("*.npy"):
            old.unlink()
        try:
            done = subprocess.run([*arguments, "--output-dir", str(out)], capture_output=True,
                                  text=True, errors="replace", timeout=300)
        except subprocess.TimeoutExpired as error:
            raise Failure("takes more than 300 s") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise Failure(lines[-1].replace(str(self.folder) + "/", ""))
        count = len(list(out.glob("*.npy")))
        return [np.load(out / f"out{index}.npy") for index in range(count)]


def build(case):
    """The module in eval mode, every statistic and weight random."""
    torch.manual_seed(7)
    model = case.build()
    inputs = module.random_inputs(case.shapes, 8, seed=3)
    for layer in model.modules():
        if isinstance(layer, (nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)) and \
                layer.weight is not None:
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias)
        if hasattr(layer, "moving_mean"):
            nn.init.uniform_(layer.gamma, 0.5, 1.5)
            nn.init.normal_(layer.beta, std=0.2)
    for _ in range(30 if any(hasattr(m, "moving_mean") for m in model.modules()) else 0):
        model(*inputs)
    if len(inputs) == 1:
        randomise(model, inputs[0], seed=5)
    if getattr(model, "tiny", False):
        model[1].running_var.copy_(torch.tensor([1.9e-14, 0.0, 1e-30, 1.0]))
    return module.prepare(model, lambda text: None)


def relative_errors(found, exact):
    """Of each output: the largest error, in units of the largest element of the exact output."""
    if len(found) != len(exact):
        raise Failure(f"{len(found)} outputs instead of {len(exact)}")
    errors = []
    for array, reference in zip(found, exact):
        if array.shape != tuple(reference.shape) or array.dtype != np.float32:
            raise Failure(f"output {array.dtype} {list(array.shape)} instead of float32 "
                          f"{list(reference.shape)}")
        reference = reference.numpy()
        largest = float(np.abs(reference).max(initial=0.0)) or 1.0
        error = float(np.abs(array.astype(np.float64) - reference).max(initial=0.0)) / largest
        if not np.isfinite(error):
            raise Failure("the output is not finite")
        errors.append(error)
    return errors


def run_torch(model, inputs):
    """PyTorch's outputs, float32 arrays."""
    outputs = module.run(model, [array.clone() for array in inputs])  # Some work in place.
    return [array.numpy() for array in outputs]


def compare(found, model, double, inputs):
    """(error, PyTorch's error) relative to the largest output, of the worst output."""
    exact = module.run(double, [array.double() for array in inputs])
    pairs = zip(relative_errors(found, exact), relative_errors(run_torch(model, inputs), exact))
    return max(((0.0, 0.0), *pairs), key=lambda pair: pair[0] / max(8 * pair[1], LIMIT))


def same_bits(a, b, what):
    for x, y in zip(a, b):
        if x.tobytes() != y.tobytes():
            raise Failure(f"other bits {what}")


def check_file(plica, file, model, double, case, dynamic):
    """Returns (error, PyTorch's error); raises Failure."""
    batch = (2 if case.large else 5) if dynamic else 1
    inputs = module.random_inputs(case.shapes, batch, seed=11)
    found = plica.run(file, inputs)
    result = compare(found, model, double, inputs)
    same_bits(found, plica.run(file, inputs, threads=2), "with 2 threads")
    if dynamic and not case.mixes:
        last = batch - 1
        others = module.random_inputs(case.shapes, last, seed=12)
        moved_inputs = [torch.cat((array[last:], other * 100))
                        for array, other in zip(inputs, others)]
        ends = [array[last:] for array in found]
        moved = plica.run(file, moved_inputs)
        same_bits(ends, [array[:1] for array in moved], "for a sample among others")
        alone, moved = (plica.run(file, given, options=["--batch-invariant"])
                        for given in ([array[last:] for array in inputs], moved_inputs))
        same_bits(alone, [array[:1] for array in moved], "for a sample alone")
    if dynamic and not case.large:
        many = module.random_inputs(case.shapes, 64, seed=13)
        found = plica.run(file, many, threads=2)
        result = max(result, compare(found, model, double, many),
                     key=lambda pair: pair[0] / max(8 * pair[1], LIMIT))
    error, own = result
    if error > max(LIMIT, 8 * own):
        raise Failure(f"error {error:.1e}, PyTorch's {own:.1e}")
    return result


def check_case(case, plica, folder, forms):
    """Yields (form, error, PyTorch's error, failure) for each form of the model's file."""
    notes = []
    try:
        model = build(case)
        if case.mixes:  # What tools/export.py refuses, but a .pt2 may well hold.
            inputs = tuple(module.random_inputs(case.shapes, 3, seed=1))
            batch = torch.export.Dim("batch", min=2, max=64)
            exported, dynamic = torch.export.export(
                model, inputs, dynamic_shapes=({0: batch},) * len(inputs)), True
        else:
            exported, dynamic = program.to_program(model, case.shapes, notes.append, batch_max=64)
        if not dynamic:
            raise Failure(notes[-1])
    except (Refusal, Failure) as error:
        yield "export", 0.0, 0.0, str(error)
        return
    double = copy.deepcopy(model).double()
    file = pathlib.Path(folder) / "model.pt2"
    for form in forms if case.core and not case.large else ("aten",):
        if form == "core":
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                exported = exported.run_decompositions()
        program.save(exported, file)
        try:
            error, own = check_file(plica, file, model, double, case, dynamic)
            yield form, error, own, ""
        except Failure as failure:
            yield form, 0.0, 0.0, str(failure)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    patterns.add_to(parser, "cases")
    parser.add_argument("--plica", help="the plica command (default: build folders, then PATH)")
    parser.add_argument("--quick", action="store_true", help="skip the models that take seconds")
    parser.add_argument("--strict", action="store_true", help="fail beyond 8 times PyTorch's error")
    parser.add_argument("--failures", action="store_true", help="print only what fails")
    parser.add_argument("--form", choices=("aten", "core"),
                        help="only undecomposed files, or only core-ATen ones")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    args = parser.parse_args()
    chosen = [case for case in cases() if not (args.quick and case.large) and
              patterns.matches(case.name, args.patterns)]
    if args.list:
        print("\n".join(case.name for case in chosen))
        return 0
    command = check.find_plica(args.plica)
    if command is None:
        parser.error("plica was not found: build it, or give --plica")
    forms = (args.form,) if args.form else ("aten", "core")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    total = failed = marked = 0
    print(f"{'case':44} {'form':6} {'error':>8} {'PyTorch':>8}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        plica = Plica(command, folder)
        for case in chosen:
            for form, error, own, failure in check_case(case, plica, folder, forms):
                beyond = not failure and error > max(8 * own, ROUNDING)
                total, marked = total + 1, marked + beyond
                if failure or (beyond and args.strict):
                    failed += 1
                name = case.name if len(case.name) <= 44 else case.name[:41] + "..."
                if failure:
                    print(f"{name:44} {form:6} FAILED: {failure}", flush=True)
                elif beyond or not args.failures:
                    print(f"{name:44} {form:6} {error:8.1e} {own:8.1e}{' *' if beyond else ''}",
                          flush=True)
    print(f"{total} files: {total - failed} passed, {failed} failed; "
          f"{marked} beyond 8 times PyTorch's error (*)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
