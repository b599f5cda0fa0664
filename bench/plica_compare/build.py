"""Builds the workers: the programs of bench/workers."""

import os
import subprocess
import sys

from .environment import SetupError
from .models import REPOSITORY


def build_workers(site_packages, progress):
    """Returns the folder with the programs."""
    folder = REPOSITORY / "build/compare"
    prefix = []
    if "CMAKE_PREFIX_PATH" in os.environ:
        prefix = [f"-DCMAKE_PREFIX_PATH={os.environ['CMAKE_PREFIX_PATH'].replace(':', ';')}"]
    else:
        _run([REPOSITORY / "tools/deps"], progress)
    _run(["cmake", "--preset", "release", "-B", folder, "--log-level=WARNING",
          "-DPLICA_BUILD_BENCH=ON", "-DPLICA_BUILD_TESTS=OFF", "-DPLICA_BUILD_TOOLS=OFF",
          f"-DPLICA_PEERS_SITE={site_packages}", *prefix], progress)
    _run(["cmake", "--build", folder, "--target", "plica_workers"], progress)
    return folder / "bench/workers"


def _run(command, progress):
    """What the command prints goes to standard error, since a build takes minutes."""
    progress.say(" ".join(str(part) for part in command[:3]))
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, stdout=sys.stderr)
    if done.returncode != 0:
        raise SetupError(f"{command[0]} failed with code {done.returncode}")
