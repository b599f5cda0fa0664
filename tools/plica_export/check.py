"""Checks a written file by running it with the plica command."""

import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from .errors import Refusal
from .module import random_inputs, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def find_plica(given=None):
    """The plica command: the one given, else the newest in a build folder, else in PATH."""
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise Refusal(f"--plica {given}: no such program")
        return found
    built = [path for pattern in ("build*", "build/*") for build in ROOT.glob(pattern)
             for place in ("", "tools", "bin", "tools/plica")
             if (path := build / place / "plica").is_file() and shutil.which(path)]
    if built:
        return str(max(built, key=lambda path: path.stat().st_mtime))
    return shutil.which("plica")


def verify(plica, file, model, shapes, dynamic):
    """Compares plica's outputs with the module's, with a dynamic batch also for another size.

    Returns plica's exit code and the last line it said, (0, "") if all agree.
    """
    for batch in (1, 5) if dynamic else (None,):
        inputs = random_inputs(shapes, batch, seed=1)
        outputs = run(model, inputs)
        with tempfile.TemporaryDirectory() as folder:
            command = [plica, "verify", str(file)]
            for flag, tensors in (("--input", inputs), ("--expect", outputs)):
                for index, tensor in enumerate(tensors):
                    path = f"{folder}/{flag[2:]}{index}.npy"
                    np.save(path, tensor.contiguous().numpy())
                    command += [flag, path]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            return done.returncode, lines[-1] if lines else f"exit code {done.returncode}"
    return 0, ""
