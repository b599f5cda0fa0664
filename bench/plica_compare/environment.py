"""The environment of the peers: a virtual environment of its own, filled by pip."""

import hashlib
import os
import pathlib
import subprocess
import sys

from .models import REPOSITORY

REQUIREMENTS = REPOSITORY / "bench/requirements"
# These say more about their dependencies than is needed, or need other versions of PyTorch.
WITHOUT_DEPENDENCIES = ("torchvision", "openvino", "executorch")
BASE = ("torch", "torchvision")


class SetupError(Exception):
    """The comparison cannot go on; the message says why."""


class Environment:
    """folder/env is the environment, folder/models has what is exported."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.models = self.folder / "models"
        self.python = self.folder / "env/bin/python"

    @property
    def site_packages(self):
        found = sorted((self.folder / "env/lib").glob("python3*/site-packages"))
        return found[0] if found else self.folder / "env/lib/site-packages"

    def create(self, progress):
        """The environment with PyTorch, which the models are made with."""
        self.models.mkdir(parents=True, exist_ok=True)
        if not self.python.exists():
            progress.say(f"creating {self.folder / 'env'}")
            _run([sys.executable, "-m", "venv", self.folder / "env"],
                 "cannot create a virtual environment (on Debian: apt-get install python3-venv)")
        for group in BASE:
            self.install(group, progress)

    def install(self, group, progress):
        """Installs bench/requirements/GROUP.txt unless it is there. Raises SetupError."""
        file = REQUIREMENTS / f"{group}.txt"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        stamp = self.folder / "env" / f".installed-{group}"
        if stamp.exists() and stamp.read_text() == digest:
            return
        progress.say(f"installing {', '.join(packages(file.read_text()))}")
        options = ["--no-deps"] if group in WITHOUT_DEPENDENCIES else []
        _run([self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
              "--only-binary", ":all:", *options, "--requirement", file], f"pip: {group}")
        stamp.write_text(digest)

    def versions(self, names):
        """Versions of installed packages by name; those that are missing are left out."""
        code = ("import importlib.metadata as m, json, sys\nfound = {}\n"
                "for name in sys.argv[1:]:\n"
                "    try: found[name] = m.version(name)\n"
                "    except m.PackageNotFoundError: pass\n"
                "print(json.dumps(found))")
        done = subprocess.run([self.python, "-c", code, *names], capture_output=True, text=True)
        import json
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def variables(self):
        """The environment variables of everything that runs inside."""
        kept = {**os.environ, "PYTHONPATH": str(REPOSITORY / "bench"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor")}
        for name in list(kept):
            if name.startswith(("OMP_", "KMP_", "MKL_", "GOMP_")):
                del kept[name]
        return kept


def packages(requirements):
    """The packages that a requirements file names."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    return [line for line in lines if line]


def _run(command, what):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["failed"]
        raise SetupError(f"{what}: {errors[0].strip()[:300]}")
