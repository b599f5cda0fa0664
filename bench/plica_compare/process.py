"""A worker process: one engine with one model, idle unless told to run."""

import array
import contextlib
import json
import os
import selectors
import signal
import subprocess
import time


class WorkerError(Exception):
    """The engine failed; the message says how."""


class Worker:
    def __init__(self, command, variables, log, timeout=300):
        """Starts the process and waits for its first output. Raises WorkerError."""
        self.timeout = timeout
        self.stopped = False
        self._log = log
        with open(log, "wb") as errors:
            spawned = time.monotonic()
            try:
                self._process = subprocess.Popen(
                    [*map(str, command), "--spawned", repr(spawned)], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=errors, env=variables)
            except OSError as error:
                raise WorkerError(str(error)) from error
        try:
            self.start = self._answer()
        except WorkerError:
            self.close()
            raise

    def burst(self, seconds, discard):
        """Runs for `discard`, then measures for `seconds`: {"runs", "group", "seconds": [...]}."""
        return self.ask(f"burst {seconds} {discard}")

    def output(self, path):
        """The output of the last run, as an array of floats."""
        self.ask(f"output {path}")
        values = array.array("f")
        with open(path, "rb") as file:
            values.frombytes(file.read())
        os.unlink(path)
        return values

    def ask(self, command):
        self.resume()
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # The missing answer says it.
        return self._answer()

    def pause(self):
        """Nothing of it runs from now on, not even threads that spin in wait for work."""
        self._process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self):
        if self.stopped:
            self._process.send_signal(signal.SIGCONT)
            self.stopped = False

    def close(self):
        with contextlib.suppress(OSError):
            self.resume()
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _answer(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self.timeout):
                self._process.kill()
                raise WorkerError(f"no answer within {self.timeout} s")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            reason = f"signal {-code}" if code < 0 else f"code {code}"
            raise WorkerError(f"ended with {reason}{self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self):
        with open(self._log, "rb") as file:
            lines = file.read()[-2000:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""
