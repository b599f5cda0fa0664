#!/usr/bin/env python3
"""Checks the direction of data flow: which folder of engine/ may include which other.

Prints one line per violation; exit status 1 if there is any.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENGINE = {
    "base": [],
    "kernels": ["base"],
    "onednn": ["base", "kernels"],
    "graph": ["base"],
    "loader": ["base", "graph"],
    "ops": ["base", "graph", "kernels", "onednn"],
    "passes": ["base", "graph", "ops"],
    "plan": ["base", "graph", "kernels"],
    "session": ["base", "graph", "kernels", "loader", "ops", "passes", "plan"],
}
# Third-party headers that only some folders may see.
THIRD_PARTY = {
    r"nlohmann/": ["engine/loader", "tools", "tests"],
    r"(oneapi/)?dnnl": ["engine/onednn", "bench"],
    r"hwy/": ["engine/kernels", "engine/base", "tests", "bench"],
    r"CLI/": ["tools"],
    r"zlib": ["tools"],
    r"catch2/": ["tests"],
    r"benchmark/": ["bench"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def allowed(folder, header):
    for pattern, folders in THIRD_PARTY.items():
        if re.match(pattern, header):
            return any(folder == f or folder.startswith(f + "/") for f in folders)
    parts = folder.split("/")
    if parts[0] == "include":
        return header.startswith("plica/") or "/" not in header
    if parts[0] != "engine":
        return True
    if header.startswith("engine/"):
        target = header.split("/")[1]
        return target == parts[1] or target in ENGINE[parts[1]]
    return not header.startswith(("tools/", "tests/", "bench/"))


def main():
    bad = 0
    for top in ("include", "engine", "tools", "tests", "bench"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            folder = path.parent.relative_to(ROOT).as_posix()
            text = path.read_text(encoding="utf-8")
            for _, header in INCLUDE.findall(text):
                if not allowed(folder, header):
                    print(f"{path.relative_to(ROOT)}: must not include {header}")
                    bad += 1
            if path.suffix == ".h" and "#pragma once" not in text and "-inl.h" not in path.name:
                print(f"{path.relative_to(ROOT)}: no #pragma once")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
