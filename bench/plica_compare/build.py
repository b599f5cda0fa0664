"""Builds the workers: the programs of bench/workers."""

import os
import subprocess

from .environment import SetupError
from .models import REPOSITORY


def build_workers(site_packages, progress, jobs=None):
    """Returns the folder with the programs."""
    folder = REPOSITORY / "build/compare"
    if "CMAKE_PREFIX_PATH" not in os.environ:
        progress.say("tools/deps")
        _run([REPOSITORY / "tools/deps"])
    progress.say("building the workers in build/compare")
    _run(["cmake", "--preset", "release", "-B", folder, "-DPLICA_BUILD_BENCH=ON",
          "-DPLICA_BUILD_TESTS=OFF", "-DPLICA_BUILD_TOOLS=OFF",
          f"-DPLICA_PEERS_SITE={site_packages}", *_prefix()])
    command = ["cmake", "--build", folder, "--target", "plica_workers"]
    _run(command + (["--parallel", str(jobs)] if jobs else []))
    return folder / "bench/workers"


def _prefix():
    given = os.environ.get("CMAKE_PREFIX_PATH")
    return [f"-DCMAKE_PREFIX_PATH={given.replace(':', ';')}"] if given else []


def _run(command):
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, capture_output=True,
                          text=True)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SetupError(f"{command[0]} failed:\n{tail}")
