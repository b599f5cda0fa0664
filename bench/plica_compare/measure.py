"""Measures the engines on one case (model, batch, threads), taking turns."""

import array
import contextlib
import dataclasses
import math

from . import statistics
from .process import Worker, WorkerError

BURST_SECONDS = 0.25
# Share of a burst that is run before, and discarded: the others have emptied the caches.
DISCARDED = 0.2
MIN_ROUNDS = 3
KEPT_QUANTILES = 201
# A peer with a larger error computes something else.
MAX_ERROR = 1e-3
COLD_STARTS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    batch: int
    threads: int

    def __str__(self):
        return f"{self.model}, batch {self.batch}, {self.threads} " + \
            ("thread" if self.threads == 1 else "threads")


class Measurement:
    """commands: engine name to the command that starts its worker on this case."""

    def __init__(self, case, commands, variables, scratch, progress, cold_starts=COLD_STARTS):
        self._case = case
        self._commands = commands
        self._variables = variables
        self._scratch = scratch
        self._progress = progress
        self._cold_starts = cold_starts
        self._workers = {}
        self._samples, self._rounds = {}, {}
        self._runs, self._spent, self._groups = {}, {}, {}
        self.results = {}

    def run(self, seconds, reference):
        """Results by engine; engines that fail have only "error_message".

        seconds is the least time that each engine is measured, discarded runs not counted.
        """
        with contextlib.ExitStack() as stack:
            for name in self._commands:
                self._start(name, stack)
            for number in range(10_000):
                if not self._workers or self._enough(number, seconds):
                    break
                self._round(number)
            for name in list(self._workers):
                self._finish(name, reference)
        return self.results

    def rounds(self):
        """Engine to the medians of its rounds."""
        return {name: values for name, values in self._rounds.items()
                if "error_message" not in self.results[name]}

    def _start(self, name, stack):
        self._progress.detail(f"{self._case}: starting {name}")
        starts = []
        try:
            for attempt in range(self._cold_starts):
                worker = Worker(self._commands[name], self._variables,
                                self._scratch / f"{name}.log")
                starts.append(worker.start)
                if attempt + 1 < self._cold_starts:
                    worker.close()
        except WorkerError as error:
            self._fail(name, error)
            return
        worker.pause()
        stack.callback(worker.close)
        self._workers[name] = worker
        self._samples[name], self._rounds[name] = [], []
        self._runs[name] = self._spent[name] = 0
        # The first start may have read files that the others find in memory.
        best = min(starts, key=lambda start: start["cold_start"])
        self.results[name] = {**best, "cold_starts": [s["cold_start"] for s in starts]}

    def _enough(self, number, seconds):
        return number >= MIN_ROUNDS and all(
            self._spent[name] >= seconds for name in self._workers)

    def _round(self, number):
        names = list(self._workers)
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            self._progress.detail(f"{self._case}: round {number + 1}, {name}")
            worker = self._workers[name]
            try:
                burst = worker.burst(BURST_SECONDS, DISCARDED * BURST_SECONDS)
                worker.pause()
            except WorkerError as error:
                self._fail(name, error)
                continue
            self._samples[name] += burst["seconds"]
            self._rounds[name].append(statistics.median(burst["seconds"]))
            self._runs[name] += burst["runs"]
            self._spent[name] += burst["measured"]
            self._groups[name] = max(self._groups.get(name, 1), burst["group"])

    def _finish(self, name, reference):
        worker, samples = self._workers[name], self._samples[name]
        try:
            output = worker.output(self._scratch / f"{name}.output")
            memory = worker.ask("memory")
            worker.pause()
            error = statistics.relative_error(output, reference)
            if math.isinf(error):
                raise WorkerError("the output has another size, or is not finite")
        except WorkerError as error:
            self._fail(name, error)
            return
        self.results[name].update(
            median=statistics.median(samples), p99=statistics.percentile(samples, 0.99),
            low=statistics.percentile(samples, 0.25), high=statistics.percentile(samples, 0.75),
            fastest=min(samples), runs=self._runs[name], group=self._groups[name],
            rounds=self._rounds[name], quantiles=statistics.thinned(samples, KEPT_QUANTILES),
            error=error, peak_rss=memory["peak_rss"])

    def _fail(self, name, error):
        self._progress.say(f"{self._case}: {name}: {error}")
        self._workers.pop(name, None)
        self.results[name] = {"error_message": str(error)}


def read_doubles(path):
    values = array.array("d")
    values.frombytes(path.read_bytes())
    return values


def compare(results, rounds):
    """Adds what follows from the results of one case: ratios to Plica, and the best peer."""
    ratios = statistics.ratios(rounds, "plica")
    sound = {name for name, result in results.items() if result.get("error", 1) <= MAX_ERROR}
    return {"ratios": ratios, "best_peer": statistics.best_peer(ratios, sound - {"plica"})}
