"""Runs one engine that is called through Python: what bench/workers/worker.cpp is for C and C++.

    python -m plica_compare.worker --engine ncnn --model F --input F --shape 1x3x224x224 --threads 1
"""

import argparse
import json
import os
import pathlib
import sys
import time

SHORTEST_SAMPLE = 2e-6  # Shorter runs are timed in groups.
SENT_SAMPLES = 2000
MAX_SAMPLES = 2_000_000


def status_bytes(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def burst(run, seconds, discard):
    clock = time.perf_counter
    start, runs = clock(), 0
    while True:
        run()
        runs += 1
        last = clock()
        if last - start >= discard:
            break
    group = max(1, -int(-SHORTEST_SAMPLE * runs // (last - start)))
    begin, end, samples = last, last + seconds, []
    while True:
        for _ in range(group):
            run()
        now = clock()
        samples.append(now - last)
        last = now
        if now >= end or len(samples) >= MAX_SAMPLES:
            break
    stride = -(-len(samples) // SENT_SAMPLES)
    return {"runs": len(samples) * group, "group": group, "measured": last - begin,
            "seconds": [sample / group for sample in samples[::stride]]}


def obey(line, run, output):
    command, *words = line.strip().split(maxsplit=1)
    if command == "burst":
        return burst(run, *map(float, words[0].split()))
    if command == "output":
        import numpy

        values = numpy.ascontiguousarray(output(), numpy.float32)
        values.tofile(words[0])
        return {"elements": values.size}
    if command == "memory":
        return {"peak_rss": status_bytes("VmHWM")}
    raise ValueError(f"unknown command {command}")


def main():
    parser = argparse.ArgumentParser()
    for option in ("engine", "model", "input", "shape"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--spawned", type=float)
    args = parser.parse_args()

    # Whatever the engine prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    try:
        import numpy

        from .peers import ENGINES

        shape = [int(size) for size in args.shape.split("x")]
        array = numpy.fromfile(args.input, numpy.float32).reshape(shape)
        before, start = status_bytes("VmRSS"), time.monotonic()
        run, output = ENGINES[args.engine].load(pathlib.Path(args.model), array, args.threads)
        loaded = time.monotonic()
        run()
        first = time.monotonic()
        # Neither Python's own start nor numpy's counts.
        answer({"load": loaded - start, "first_run": first - loaded, "cold_start": first - start,
                "rss_before": before, "peak_rss": status_bytes("VmHWM")})
        for line in sys.stdin:
            answer(obey(line, run, output))
        code = 0
    except Exception as error:
        message = str(error).strip() or repr(error)
        answer({"error": f"{type(error).__name__}: {message.splitlines()[0][:300]}"})
        code = 1
    answers.flush()
    sys.stderr.flush()
    os._exit(code)  # Without destructors: threads of an engine may still be at work in them.


if __name__ == "__main__":
    main()
