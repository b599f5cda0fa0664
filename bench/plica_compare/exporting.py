"""Has models exported inside the environment, and remembers what came of it."""

import hashlib
import inspect
import json
import pathlib
import subprocess

from . import models
from .environment import REQUIREMENTS
from .peers import ENGINES


class Exports:
    """The folder of exported models with its index: file name to key, remark or error.

    The key covers what a file depends on, beside the weights that all share: the adapter and the
    versions. A failure is remembered like a success.
    """

    def __init__(self, environment, retry=False):
        self._environment = environment
        self._folder = environment.models
        self._path = self._folder / "index.json"
        self._index = self._read()
        self._retry = retry

    def _read(self):
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def file(self, engine, model, batch, threads):
        return self._folder / engine.file_name(self._stem(model, batch), threads)

    def _stem(self, model, batch):
        return models.spec(model).stem_of(batch)

    def entry(self, engine, model, batch, threads):
        """{"error": ...} or {"remark": ...} of a finished export."""
        return self._index.get(self.file(engine, model, batch, threads).name,
                               {"error": "not exported"})

    def input(self, model, batch):
        return self._folder / (self._stem(model, batch) + ".input")

    def reference(self, model, batch):
        return self._folder / (self._stem(model, batch) + ".reference")

    def facts(self, model, batch):
        return json.loads((self._folder / (self._stem(model, batch) + ".facts.json")).read_text())

    def make(self, model, batch, engines, threads, progress):
        """Exports what is missing of one model; raises RuntimeError if not even PyTorch runs it."""
        jobs = []
        for engine in engines:
            for count in (threads if engine.per_threads else threads[:1]):
                if not self._current(engine, model, batch, count):
                    jobs.append((engine.name, count))
        if not jobs and self.reference(model, batch).exists():
            return
        names = " ".join(name for name, _ in jobs)
        progress.say(f"exporting {model}, batch {batch}: {names}")
        while True:
            left = self._run(model, batch, jobs)
            if left == jobs or not left:
                break
            jobs = left

    def _current(self, engine, model, batch, threads):
        file = self.file(engine, model, batch, threads)
        entry = self._index.get(file.name)
        if entry is None or entry["key"] != self._key(engine, model):
            return False
        return not self._retry if "error" in entry else file.exists()

    def _key(self, engine, model):
        parts = [repr(models.spec(model)),
                 pathlib.Path(inspect.getfile(type(engine))).read_text()]
        parts += [(REQUIREMENTS / f"{name}.txt").read_text()
                  for name in ("torch", "torchvision", *engine.requirements)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def _run(self, model, batch, jobs):
        """One process for all jobs; returns those that a crash left undone."""
        left = list(jobs)
        command = [self._environment.python, "-m", "plica_compare.export", "--folder",
                   self._folder, "--model", model, "--batch", str(batch),
                   *(f"{name}:{threads}" for name, threads in jobs)]
        log = self._folder / (self._stem(model, batch) + ".log")
        with log.open("w") as errors:
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                                  stderr=errors, text=True,
                                  env=self._environment.variables())
        begun = None
        for line in done.stdout.splitlines():
            answer = json.loads(line)
            name, threads = answer["job"].split(":")
            job = (name, int(threads))
            if answer.get("begun"):
                begun = job
                continue
            begun = None
            left.remove(job)
            self._store(job, model, batch, answer)
        if begun is not None:
            left.remove(begun)
            self._store(begun, model, batch,
                        {"error": f"the export ended with code {done.returncode}, see {log}"})
        elif left and left == jobs:
            last = (log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{model} cannot be exported: {last} (see {log})")
        return left

    def _store(self, job, model, batch, answer):
        engine = ENGINES[job[0]]
        entry = {"key": self._key(engine, model)}
        entry.update({key: answer[key] for key in ("error", "remark") if answer.get(key)})
        # Another comparison may have exported something meanwhile.
        self._index = {**self._read(), self.file(engine, model, batch, job[1]).name: entry}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self._index, indent=1, sort_keys=True))
        temporary.rename(self._path)
