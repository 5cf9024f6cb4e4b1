"""A metric of the user's own: a function of all predictions and all labels of the test part."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import EdgePipelineError
from edge_pipeline.core.plugins import load_callable, place_of
from edge_pipeline.core.spool import Spool
from edge_pipeline.tasks.base import Prediction, Truth

LARGE = 64 * 2**10
"""Bytes of an array from which on it is kept in a file, not in memory."""

EXPECTED = "a number, or a dictionary of numbers by name"


class MetricError(EdgePipelineError):
    """A metric of the user's own fails, or gives no usable number."""


class UserMetric:
    """Collects predictions and labels, and gives them to `function(predictions, ground_truth)`.

    Both arguments have an entry for every picture, in the same order. Arrays of equal shape and type are stacked into
    one with a leading axis, numbers too; everything else comes in a list. Large arrays are read from a temporary file
    as they are touched.
    """

    def __init__(self, metric: str | Callable[[Any, Any], Any]) -> None:
        """Load `metric`, a function or its name `module:function`.

        Raises:
            MetricError: there is no such function, or it does not take two arguments.
        """
        function = load_callable(metric, "metric", MetricError) if isinstance(metric, str) else metric
        self.name = metric if isinstance(metric, str) else _name(metric)
        self._function = function
        self._predictions, self._truths = _Column(), _Column()
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise MetricError(
                f"the metric '{self.name}' must take two arguments (predictions, ground_truth): {error}"
            ) from error
        except ValueError:  # a built-in that tells no signature
            pass

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Keep what was predicted and what is true of one picture."""
        self._predictions.append(prediction)
        self._truths.append(truth)

    def metrics(self, taken: Collection[str] = ()) -> dict[str, float]:
        """Call the function and return its numbers by name; a single number has the function's name.

        Args:
            taken: names that it may not use, since the task's own metrics have them.

        Raises:
            MetricError: the function fails, gives something else than finite numbers, or uses a name that is taken.
        """
        predictions, truths = self._predictions.values(), self._truths.values()
        try:
            found = self._function(predictions, truths)
        except (Exception, SystemExit) as error:
            raise MetricError(
                f"the metric '{self.name}' failed: {type(error).__name__}: {error}{place_of(error)}"
            ) from error
        numbers = self._named(found)
        for name in numbers:
            if name in taken:
                raise MetricError(
                    f"the metric '{self.name}' returned '{name}', which is the name of a metric of the task. "
                    f"Give it another name, 'my_{name}' for example."
                )
        return numbers

    def _named(self, found: Any) -> dict[str, float]:
        if not isinstance(found, Mapping):
            return {self.name.rpartition(":")[2].rpartition(".")[2]: self._number(found, "it returned")}
        if not found:
            raise MetricError(f"the metric '{self.name}' returned an empty dictionary; expected is {EXPECTED}")
        for name in found:
            if not isinstance(name, str) or not name:
                raise MetricError(f"the metric '{self.name}' returned a dictionary with the key {name!r}, not a name")
        return {name: self._number(value, f"'{name}' is") for name, value in found.items()}

    def _number(self, value: Any, what: str) -> float:
        plain = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            shape = getattr(value, "shape", ())
            came = f"{type(value).__name__}{f' of shape {tuple(shape)}' if shape else ''}"
            hint = " (is a `return` missing?)" if value is None else ""
            raise MetricError(f"the metric '{self.name}': {what} {came}{hint}; expected is {EXPECTED}")
        number = float(plain)
        if not math.isfinite(number):
            raise MetricError(
                f"the metric '{self.name}': {what} {number}, not a finite number. "
                "Does it divide by a count that is zero?"
            )
        return number


@dataclass(frozen=True)
class _Spooled:
    index: int


@dataclass
class _Column:
    """All predictions, or all labels."""

    kept: list[Any] = field(default_factory=list)
    spool: Spool | None = None

    def append(self, value: Any) -> None:
        self.kept.append(self._keep(value))

    def values(self) -> NDArray[Any] | list[Any]:
        """Return one array if that is possible, otherwise a list."""
        if self.kept and all(isinstance(one, _Spooled) for one in self.kept):
            stacked = self.spool.stacked() if self.spool is not None else None
            return self._listed() if stacked is None else stacked
        if self.kept and (all(map(_is_number, self.kept)) or _alike(self.kept)):
            return np.asarray(self.kept)
        return self._listed()

    def _keep(self, value: Any) -> Any:
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(self._keep(part) for part in value)
        if not isinstance(value, np.ndarray) or value.nbytes <= LARGE or value.dtype.hasobject:
            return value
        if self.spool is None:
            self.spool = Spool()
        self.spool.append(value)
        return _Spooled(len(self.spool) - 1)

    def _listed(self) -> list[Any]:
        return [self._read(one) for one in self.kept]

    def _read(self, kept: Any) -> Any:
        if isinstance(kept, _Spooled) and self.spool is not None:
            return self.spool[kept.index]
        return tuple(self._read(part) for part in kept) if type(kept) is tuple else kept


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def _alike(values: Sequence[Any]) -> bool:
    return all(isinstance(one, np.ndarray) for one in values) and len({(one.shape, one.dtype) for one in values}) == 1


def _name(metric: Any) -> str:
    """Return a name of a function that can name a metric."""
    name = getattr(metric, "__name__", type(metric).__name__)
    return name if name.isidentifier() else "metric"
