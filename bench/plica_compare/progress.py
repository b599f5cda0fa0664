"""What the harness says while it works: a bar on a terminal, lines in a pipe."""

import shutil
import sys
import time


class Progress:
    """Counts `total` pieces of work of equal size."""

    def __init__(self, total=0, stream=None):
        self.total = total
        self.done = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._drawn = False

    def say(self, text):
        """A line that stays."""
        self._clear()
        print(text, file=self._stream, flush=True)

    def step(self, text):
        """What is being done now."""
        if self._terminal:
            self._draw(text)
        else:
            self.say(f"[{self.done}/{self.total}] {text}")

    def detail(self, text):
        """What is being done now, too fine for a pipe."""
        if self._terminal:
            self._draw(text)

    def _draw(self, text):
        columns = shutil.get_terminal_size().columns
        share = self.done / self.total if self.total else 0
        full = round(20 * share)
        left = ""
        if 0 < self.done < self.total:
            rest = (time.monotonic() - self._started) * (1 - share) / share
            left = f" {rest / 60:.0f} min left" if rest > 90 else f" {rest:.0f} s left"
        line = f"[{'#' * full}{'.' * (20 - full)}] {self.done}/{self.total}{left}  {text}"
        self._clear()
        self._stream.write(line[:columns - 1])
        self._stream.flush()
        self._drawn = True

    def finish(self):
        self._clear()

    def _clear(self):
        if self._drawn:
            self._stream.write("\r\033[K")
            self._drawn = False
