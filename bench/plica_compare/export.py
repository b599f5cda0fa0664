"""Exports one model with one batch size to the formats of several engines.

    python -m plica_compare.export --folder F --model M --batch B ENGINE:THREADS...

Runs inside the environment of the peers. Writes a line of JSON for each engine, as soon as its
file is there; what the engines themselves print goes to standard error.
"""

import argparse
import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

from . import models
from .peers import ENGINES

INPUT_SEED = 1


class Source:
    """A model to export, as whatever an engine starts from."""

    def __init__(self, spec, batch, folder):
        self.spec = spec
        self.shape = [batch, *spec.sample]
        self._saved = folder / f"{spec.stem}.source.pth"
        self._folder = folder
        self._scratch = tempfile.TemporaryDirectory(prefix=".export-", dir=folder)

    def module(self):
        """The module in eval mode; the same weights for every engine and batch."""
        import torch

        if not self._saved.exists():
            temporary = self._saved.with_suffix(".new")
            if self.spec.source == "file":
                shutil.copyfile(self.spec.name, temporary)
            else:
                torch.save(models.build(self.spec), temporary)
            temporary.rename(self._saved)
        return models.load(self._saved)

    def save(self, path):
        self.module()
        path.unlink(missing_ok=True)
        os.link(self._saved, path)

    def example(self, batch=None):
        import torch

        return torch.from_numpy(models.sample_input(self.spec, batch or self.shape[0], INPUT_SEED))

    def program(self):
        import torch

        with torch.no_grad():
            return torch.export.export(self.module(), (self.example(),))

    @functools.cached_property
    def _onnx(self):
        import torch

        path = pathlib.Path(self._scratch.name) / "model.onnx"
        with torch.no_grad():
            torch.onnx.export(self.module(), (self.example(),), str(path), dynamo=True,
                              external_data=False, verbose=False)
        return path

    def onnx(self):
        return self._onnx

    def write_reference(self):
        """The input, the output in float64, and the bytes of the parameters."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        stem = self._folder / self.spec.stem_of(self.shape[0])
        if stem.with_name(stem.name + ".facts.json").exists():
            return
        module = self.module()
        weights = sum(p.numel() for p in module.parameters()) * 4
        module = module.double()
        example = self.example()
        other = torch.from_numpy(
            models.sample_input(self.spec, self.shape[0], INPUT_SEED + 1)).double()
        with torch.no_grad():
            with FlopCounterMode(display=False) as counter:
                output = module(example.double())
            differs = module(other)
        largest = output.abs().max().item()
        change = (output - differs).abs().max().item() / largest
        if not change > 1e-3:
            raise RuntimeError(f"the output hardly depends on the input ({change:.1e})")
        example.numpy().tofile(stem.with_name(stem.name + ".input"))
        output.numpy().tofile(stem.with_name(stem.name + ".reference"))
        facts = {"weight_bytes": weights, "input_elements": example.numel(),
                 "output_elements": output.numel(), "largest_output": largest,
                 "gflop": counter.get_total_flops() / 1e9}
        stem.with_name(stem.name + ".facts.json").write_text(json.dumps(facts))


def export_one(source, engine, path, threads):
    """Through a temporary name, so that no half-written file counts."""
    if path.is_dir():
        shutil.rmtree(path)
    temporary = path.with_name("new-" + path.name)
    if temporary.is_dir():
        shutil.rmtree(temporary)
    remark = engine.export(source, temporary, threads)
    temporary.rename(path)
    weights = temporary.with_suffix(".bin")  # OpenVINO's second file.
    if engine.suffix == ".xml" and weights.exists():
        weights.rename(path.with_suffix(".bin"))
    return remark


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("jobs", nargs="*")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    source = Source(models.spec(args.model), args.batch, args.folder)
    source.write_reference()
    for job in args.jobs:
        name, threads = job.split(":")
        engine = ENGINES[name]
        path = args.folder / engine.file_name(source.spec.stem_of(args.batch), threads)
        print(json.dumps({"job": job, "begun": True}), file=answers, flush=True)
        try:
            remark = export_one(source, engine, path, int(threads))
            result = {"job": job, "remark": remark}
        except Exception as error:
            lines = str(error).strip().splitlines() or [repr(error)]
            result = {"job": job, "error": f"{type(error).__name__}: {lines[0][:300]}"}
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
