"""Collect what is wrong with a file of labels, and report it as one error."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import DatasetError

SHOWN = 5


class Problems:
    """Counts problems and keeps the words of the first few."""

    def __init__(self, subject: str, remedy: str) -> None:
        """Start with none.

        Args:
            subject: what the problems are in, for example the path of a file.
            remedy: what to do about them, one sentence.
        """
        self._subject, self._remedy = subject, remedy
        self._texts: list[str] = []
        self.count = 0

    def add(self, text: str) -> None:
        """Note one problem."""
        self.count += 1
        if len(self._texts) < SHOWN:
            self._texts.append(text)

    def add_all(self, wrong: NDArray[np.bool_], describe: Callable[[int], str]) -> None:
        """Note a problem for each index at which `wrong` is true."""
        for index in np.flatnonzero(wrong):
            if len(self._texts) >= SHOWN:
                break
            self._texts.append(describe(int(index)))
        self.count += int(np.count_nonzero(wrong))

    def check(self) -> None:
        """Go on if there are none.

        Raises:
            DatasetError: there are.
        """
        if self.count:
            shown = "1 problem" if self.count == 1 else f"{self.count} problems"
            shown += f", the first {SHOWN}" if self.count > SHOWN else ""
            lines = "\n".join(f"  - {text}" for text in self._texts)
            raise DatasetError(f"{self._subject}: {shown}:\n{lines}\n{self._remedy}")


def some(names: Any, limit: int = 10) -> str:
    """Return the first few of `names`, separated by commas."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:limit]) + (f", ... ({len(listed)} in all)" if len(listed) > limit else "")
