"""The machine that measures: its description and its peaks."""

import json
import os
import pathlib
import platform
import subprocess

from .environment import SetupError
from .models import REPOSITORY


def describe():
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    wide = [name for name in ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile")
            if name in flags]
    memory = next((int(line.split()[1]) * 1024
                   for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                   if line.startswith("MemTotal")), 0)
    return {"cpu": fields.get("model name", platform.processor()),
            "family_model_stepping": "/".join(
                fields.get(key, "?") for key in ("cpu family", "model", "stepping")),
            "instruction_sets": wide, "processors": len(os.sched_getaffinity(0)),
            "caches": _caches(), "memory_bytes": memory, "kernel": platform.release(),
            "load_average": round(os.getloadavg()[0], 2)}


def _caches():
    found = {}
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level = (index / "level").read_text().strip()
        kind = (index / "type").read_text().strip()
        if kind != "Instruction":
            found[f"L{level}"] = (index / "size").read_text().strip()
    return found


def mask_isa(workers, isa):
    """Variables for processes that are not to see wider instruction sets; raises SetupError."""
    if isa is None:
        return {}
    library = workers / "libplica_mask_isa.so"
    variables = {"LD_PRELOAD": str(library.resolve()), "PLICA_MASK_ISA": isa}
    if not library.exists():
        raise SetupError(f"{library} was not built: --isa needs Linux on x86-64")
    # Any program would do: the library says what is missing before main().
    done = subprocess.run(["true"], capture_output=True, text=True,
                          env={**os.environ, **variables})
    if done.returncode != 0:
        raise SetupError(f"--isa {isa}: {done.stderr.strip()}")
    return variables


def peaks(workers, threads, variables):
    """What bench/workers/machine_peaks measures: {"target", "peaks": [...]}."""
    done = subprocess.run([workers / "machine_peaks", str(threads)], capture_output=True, text=True,
                          check=True, env={**os.environ, **variables})
    return json.loads(done.stdout)


def commit():
    """The commit that is measured, with a + if files differ from it; "" outside git."""
    def git(*args):
        return subprocess.run(["git", *args], cwd=REPOSITORY, capture_output=True, text=True)

    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode != 0:
        return ""
    changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    return head.stdout.strip() + ("+" if changed else "")
