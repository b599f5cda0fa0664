#!/usr/bin/env python3
"""Measures the memory that models take, and fails where it is too much. Needs no PyTorch.

    python tests/python/check_memory.py [--plica PATH] [--models FOLDER] [PATTERN ...]

The models are the bundled ones and, where there are any, those that bench/compare has exported.
Each is loaded and run by `plica bench`, with 1 and 2 threads, from its file and with a saved plan.
It passes if
  - the arena is at most 1.1 times what is alive at any one step;
  - the peak of the process's resident memory is at most weights x 1.1 + arena + 15 MB, beside the
    inputs, which are the caller's. Pages of a saved plan count as well, although processes share
    them.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import patterns

ROOT = pathlib.Path(__file__).resolve().parents[2]

ARENA_TIMES = 1.1
WEIGHTS_TIMES = 1.1
PROCESS_BYTES = 15e6


def find_plica():
    """The newest plica of the build folders, or the one in PATH."""
    built = [path for pattern in ("build*/bin/plica", "build/*/bin/plica")
             for path in ROOT.glob(pattern)]
    return str(max(built, key=lambda path: path.stat().st_mtime)) if built else "plica"


def run_json(*command):
    """What a command writes as JSON; raises RuntimeError with what it says instead."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout)


class Row:
    """One run of one model; sizes in bytes."""

    def __init__(self, weights, bench):
        self.weights = weights
        self.threads = bench["threads"]
        self.arena, self.bound = bench["arena_bytes"], bench["arena_lower_bound"]
        self.peak = bench["peak_rss_bytes"]
        self.inputs = 4 * sum(math.prod(shape) for shape in bench["input_shapes"])

    @property
    def limit(self):
        return WEIGHTS_TIMES * self.weights + self.arena + self.inputs + PROCESS_BYTES

    def failures(self):
        if self.arena > ARENA_TIMES * self.bound:
            yield f"arena {self.arena / max(self.bound, 1):.2f} times the lower bound"
        if self.peak > self.limit:
            yield f"peak {(self.peak - self.limit) / 1e6:.1f} MB above the limit"

    def text(self):
        return (f"{self.threads:7} {self.weights / 1e6:8.1f} {self.arena / 1e6:8.2f} "
                f"{self.arena / max(self.bound, 1):8.3f} {self.peak / 1e6:8.1f} "
                f"{self.limit / 1e6:8.1f}")


def measure(plica, model, options, plan):
    """Yields (what was run, Row)."""
    nodes = run_json(plica, "inspect", model, "--json")["nodes"]
    weights = 4 * sum(node["parameters"] for node in nodes)
    bench = [plica, "bench", model, "--no-steps", "--seconds", "0.05", "--json", "-", *options]
    for threads in ("1", "2"):
        yield "", Row(weights, run_json(*bench, "--threads", threads))
    done = subprocess.run([plica, "convert", model, "--output", plan, *options],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    yield "saved plan", Row(weights, run_json(*bench, "--threads", "1", "--saved-plan", plan))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    patterns.add_to(parser, "models")
    parser.add_argument("--plica", default=find_plica(),
                        help="the plica command (default: build folders, then PATH)")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / ".cache/peers/models",
                        help="folder of the models that bench/compare has exported")
    parser.add_argument("--accuracy", default="default", help="as of plica bench")
    args = parser.parse_args()
    files = [path for path in (*sorted((ROOT / "models/bundled").glob("*.pt2")),
                               *sorted(args.models.glob("*.b[0-9]*.pt2")))
             if not path.stem.endswith(".aoti") and
             patterns.matches(path.stem, args.patterns)]
    failures = 0
    print(f"{'model':24} {'threads':>7} {'weights':>8} {'arena':>8} {'of bound':>8} {'peak':>8} "
          f"{'limit':>8}  MB")
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            try:
                for what, row in measure(args.plica, str(file), ["--accuracy", args.accuracy],
                                         f"{folder}/saved.plan"):
                    wrong = ", ".join(row.failures())
                    failures += bool(wrong)
                    print(f"{file.stem[:24]:24} {row.text()}  {what}"
                          f"{'  FAILED: ' + wrong if wrong else ''}", flush=True)
            except RuntimeError as error:
                failures += 1
                print(f"{file.stem[:24]:24} FAILED: {error}", flush=True)
    print(f"{len(files)} models, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
