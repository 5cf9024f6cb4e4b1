"""Progress bars on a terminal, one line per finished step elsewhere."""

import threading
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class ProgressBars:
    """Shows the stages of the run, and the units of the long ones."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int, str]] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task("stages", total=stages, note="")
        self._bars.start()

    def close(self) -> None:
        """Take the bars off the screen."""
        self._bars.stop()

    def stage_started(self, name: str) -> None:
        """A node begins."""
        self._bars.update(self._all, note=name)
        self._begun[name] = (time.monotonic(), 0, "")

    def stage_ended(self, name: str) -> None:
        """A node is over."""
        self._bars.advance(self._all)
        self._print(name)

    def started(self, step: str, total: int) -> None:
        """A step of `total` units begins."""
        with self._lock:
            self._tasks[step] = self._bars.add_task(step, total=total, note="")
            self._begun[step] = (time.monotonic(), 0, "")

    def advanced(self, step: str, done: int, note: str) -> None:
        """`done` units are behind us."""
        with self._lock:
            self._bars.update(self._tasks[step], completed=done, note=note)
            self._begun[step] = (self._begun[step][0], done, note)

    def entered(self, step: str, state: str) -> None:
        """What is done elsewhere is in another state: the bar's note on a terminal, a line of its own elsewhere."""
        with self._lock:
            self._bars.update(self._tasks[step], note=state)
            begun, done, _ = self._begun[step]
            self._begun[step] = (begun, done, state)
            if not self._console.is_terminal:
                self._show(begun, f"{step}  {state}")

    def ended(self, step: str) -> None:
        """The step is over, finished or not."""
        with self._lock:
            self._bars.remove_task(self._tasks.pop(step))
            self._print(step)

    def measured(self, step: str, index: int, metrics: Mapping[str, float]) -> None:
        """Metrics are shown by the note of `advanced`."""

    def _print(self, name: str) -> None:
        begun, units, note = self._begun.pop(name)
        self._show(begun, f"{name}{f'  {units} done' if units else ''}{f'  {note}' if note else ''}")

    def _show(self, begun: float, text: str) -> None:
        self._console.print(f"{time.monotonic() - begun:6.1f} s  {text}", highlight=False)
