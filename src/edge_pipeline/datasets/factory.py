"""Datasets that users make themselves: any object with a length and numbered samples."""

import hashlib
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import DatasetError, EdgePipelineError, suggest
from edge_pipeline.core.plugins import load_callable, place_of
from edge_pipeline.core.preprocessing import Picture

PARTS = ("train", "validation", "test")


def load_factory(reference: str, options: Mapping[str, Any]) -> Any:
    """Call the function (or class) `module:function` with `options`, and return what it makes.

    Raises:
        DatasetError: it cannot be found or called, or it raises.
    """
    make = load_callable(reference, "dataset factory", DatasetError)
    try:
        return make(**options)
    except EdgePipelineError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"the dataset factory '{reference}' raised {type(error).__name__}: {error}{place_of(error)}"
        ) from error


class FactorySamples:
    """The samples of a user's object, each (input, truth).

    An input is a picture, uint8 (h, w) or (h, w, 1 or 3), or one array, or a tuple, list or dictionary of arrays where
    the network has several inputs. Truths are handed on as they are, whole numbers as int.

    Attributes:
        classes: the object's `classes`, else numbers if it has `labels`, else none.
        labels: the object's `labels`, or `None`.
        parts: the object's `parts`, or `None`.
        names: names of the inputs if they come as a dictionary, else `None`.
    """

    def __init__(self, source: Any) -> None:
        """Take an object and read its first sample.

        Raises:
            DatasetError: it is no dataset.
        """
        kind = type(source).__name__
        self._source, self._subject = source, f"the dataset of the class {kind}"
        for method in ("__len__", "__getitem__"):
            if not hasattr(source, method):
                raise DatasetError(
                    f"the dataset factory made a {kind}, which has no `{method}`; the object it makes must answer "
                    "`len(dataset)`, and `dataset[i]` with (input, truth)"
                )
        self._length = int(self._guarded("`len()`", lambda: len(source)))
        if self._length == 0:
            raise DatasetError(f"{self._subject} is empty: its `len()` is 0")
        self._last: tuple[int, tuple[Any, Any]] | None = None
        self.labels: Sequence[int] | None = self._labels()
        self.classes: tuple[str, ...] = self._classes()
        self.parts: Mapping[str, Sequence[int]] | None = self._parts()
        first = self._item(0)[0]
        self.names: tuple[str, ...] | None = tuple(map(str, first)) if isinstance(first, Mapping) else None
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self.has_pictures = _is_picture(first)
        if not self.has_pictures:
            self._shapes = tuple(array.shape for array in self._arrays(0, first))

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, c).

        Raises:
            DatasetError: the object fails, or its input is no picture.
        """
        given = self._item(index)[0]
        if not _is_picture(given):
            raise self._wrong(
                index, f"its input is {_described(given)}; a picture is expected, uint8 (h, w) or (h, w, c)"
            )
        pixels = np.asarray(given)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
            hint = " (the channels come last)" if pixels.shape[0] in (1, 3) else ""
            raise self._wrong(index, f"its picture has the shape {pixels.shape}; (h, w, 1 or 3) is expected{hint}")
        return np.ascontiguousarray(pixels)

    def inputs(self, index: int) -> tuple[NDArray[Any], ...]:
        """Arrays that the network takes for sample `index`, in the order of its inputs; float64 becomes float32.

        Raises:
            DatasetError: the object fails, or the arrays are others in number or shape than those of the first sample.
        """
        arrays = self._arrays(index, self._item(index)[0])
        shapes = tuple(array.shape for array in arrays)
        if self._shapes is not None and shapes != self._shapes:
            raise self._wrong(
                index, f"its input has the shape {_shown(shapes)}, that of the first sample has {_shown(self._shapes)}"
            )
        return arrays

    def truth(self, index: int) -> Any:
        """Truth of sample `index`.

        Raises:
            DatasetError: the object fails.
        """
        truth = self._item(index)[1]
        if isinstance(truth, numbers.Integral):
            return int(truth)
        if hasattr(truth, "__array__") and np.ndim(truth) == 0 and np.issubdtype(np.asarray(truth).dtype, np.integer):
            return int(truth)
        return truth

    def content_hash(self) -> str:
        """SHA-256 over every sample, or what the object's own `content_hash()` says.

        Raises:
            DatasetError: the object fails, or a sample holds something that has no defined bytes.
        """
        own = getattr(self._source, "content_hash", None)
        if callable(own):
            return hashlib.sha256(str(self._guarded("its `content_hash()`", own)).encode()).hexdigest()
        whole = hashlib.sha256()
        for index in range(self._length):
            for piece in _pieces(self._item(index)):
                if piece is None:
                    raise self._wrong(
                        index, "it holds something that cannot be hashed. Give the object a method `content_hash()`"
                    )
                whole.update(piece)
        return whole.hexdigest()

    def _item(self, index: int) -> tuple[Any, Any]:
        """Return sample `index`; the last one is kept, so that picture and truth are of one and the same reading."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        item = self._guarded(f"sample {index}", lambda: self._source[index])
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise self._wrong(index, f"it is {_described(item)}; a pair (input, truth) is expected")
        self._last = (index, (item[0], item[1]))
        return self._last[1]

    def _guarded(self, what: str, call: Any) -> Any:
        try:
            return call()
        except EdgePipelineError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(
                f"{self._subject}: {what} raised {type(error).__name__}: {error}{place_of(error)}"
            ) from error

    def _arrays(self, index: int, given: Any) -> tuple[NDArray[Any], ...]:
        if isinstance(given, Mapping):
            if self.names is not None and set(map(str, given)) != set(self.names):
                raise self._wrong(index, f"its inputs are {sorted(map(str, given))}, not {sorted(self.names)}")
            by_name = {str(name): value for name, value in given.items()}
            given = [by_name[name] for name in self.names or by_name]
        many = given if isinstance(given, tuple | list) else (given,)
        arrays = tuple(array for one in many if (array := _array(one)) is not None)
        if not arrays or len(arrays) != len(many):
            raise self._wrong(index, f"its input is {_described(given)}; a picture or arrays of numbers are expected")
        return tuple(np.ascontiguousarray(one, np.float32 if one.dtype == np.float64 else one.dtype) for one in arrays)

    def _labels(self) -> Sequence[int] | None:
        given = getattr(self._source, "labels", None)
        if given is None:
            return None
        values = np.asarray(given)
        if values.shape != (self._length,) or not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
            raise DatasetError(f"{self._subject}: `labels` must be {self._length} whole numbers from 0, one a sample")
        return [int(value) for value in values]

    def _classes(self) -> tuple[str, ...]:
        given = getattr(self._source, "classes", None)
        most = max(self.labels) + 1 if self.labels is not None else 0
        names = tuple(map(str, range(most))) if given is None else tuple(map(str, given))
        if len(names) < most:
            raise DatasetError(f"{self._subject}: `labels` go up to {most - 1}, but there are {len(names)} `classes`")
        return names

    def _parts(self) -> Mapping[str, Sequence[int]] | None:
        given = getattr(self._source, "parts", None)
        if given is None:
            return None
        parts: dict[str, Sequence[int]] = {}
        subject = f"{self._subject}: `parts`"
        for name, indices in dict(given).items():
            if name not in PARTS:
                raise DatasetError(f"{subject} has the key '{name}'; {suggest(str(name), PARTS)}")
            values = np.asarray(indices)
            if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer) or len(values) == 0:
                raise DatasetError(f"{subject}['{name}'] must be a list of indices of samples")
            if values.min() < 0 or values.max() >= self._length:
                raise DatasetError(f"{subject}['{name}'] names samples beyond 0 to {self._length - 1}")
            parts[str(name)] = [int(value) for value in values]
        together = [index for part in parts.values() for index in part]
        if len(together) != len(set(together)):
            raise DatasetError(f"{subject} have samples in common: one that was trained on proves nothing in a test")
        return parts

    def _wrong(self, index: int, what: str) -> DatasetError:
        return DatasetError(f"{self._subject}: sample {index}: {what}")


def _array(given: Any) -> NDArray[Any] | None:
    """Return an array, tensor or number as array of numbers, `None` if it is something else."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        return None
    return array if np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_ else None


def _is_picture(given: Any) -> bool:
    if not hasattr(given, "__array__") and not hasattr(given, "__array_interface__"):
        return False
    array = _array(given)
    return array is not None and array.dtype == np.uint8 and array.ndim in (2, 3)


def _described(given: Any) -> str:
    if hasattr(given, "__array__") and (array := _array(given)) is not None:
        return f"an array of {array.dtype} and shape {array.shape}"
    length = f" of {len(given)}" if isinstance(given, tuple | list | dict) else ""
    return f"a {type(given).__name__}{length}"


def _shown(shapes: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(map(str, shapes))


def _pieces(value: Any) -> Iterator[bytes | None]:
    """Yield bytes that tell any two values apart; `None` for something whose bytes are not defined."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = value if isinstance(value, bytes) else repr(value).encode()
        yield f"{type(value).__name__}:{len(text)}:".encode() + text
    elif is_dataclass(value):
        yield from _pieces({field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        yield f"mapping:{len(value)}:".encode()
        for key, item in value.items():
            yield from _pieces(key)
            yield from _pieces(item)
    elif isinstance(value, tuple | list):
        yield f"list:{len(value)}:".encode()
        for item in value:
            yield from _pieces(item)
    elif hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            yield None
            return
        yield f"array:{array.dtype.newbyteorder('<').str}:{array.shape}:".encode()
        yield array.astype(array.dtype.newbyteorder("<")).tobytes()
    else:
        yield None
