"""One ONNX operator with static shapes, as what converts it to PyTorch sees it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Step = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A module or function, its arguments and its keyword arguments."""


class UnsupportedError(Exception):
    """An ONNX operator that cannot be converted; says why."""


@dataclass(frozen=True)
class Operator:
    """One node: its attributes, and for each input the argument, the value if it is constant, and the shape."""

    kind: str
    opset: int
    attributes: dict[str, Any]
    arguments: tuple[Any, ...]
    constants: tuple[NDArray[Any] | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]

    def on_first(self, module: Any) -> Step:
        """Return a step that gives the first input to `module`."""
        return module, self.arguments[:1], {}

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return the value of an input, `None` if it is left out.

        Raises:
            UnsupportedError: it is computed while the network runs.
        """
        if index >= len(self.arguments) or (self.arguments[index] is None and self.constants[index] is None):
            return None
        value = self.constants[index]
        if value is None:
            raise UnsupportedError(f"its input {index} is computed while the network runs, not constant")
        return value

    def given(self, index: int) -> NDArray[Any]:
        """Return the value of an input.

        Raises:
            UnsupportedError: it is left out or computed while the network runs.
        """
        value = self.constant(index)
        if value is None:
            raise UnsupportedError(f"its input {index} is left out")
        return value

    def integers(self, attribute: str, index: int) -> list[int] | None:
        """Return integers that older opsets keep in an attribute and newer ones in an input."""
        value = self.attributes.get(attribute)
        value = self.constant(index) if value is None else np.atleast_1d(value)
        return None if value is None else [int(one) for one in value.reshape(-1)]

    def limit(self, attribute: str, index: int) -> float | None:
        """Return a number that older opsets keep in an attribute and newer ones in an input; huge ones mean none."""
        value = self.attributes.get(attribute)
        value = self.constant(index) if value is None else value
        found = None if value is None else float(np.asarray(value).reshape(-1)[0])
        return None if found is None or abs(found) > 3e38 else found

    def text(self, attribute: str, default: str) -> str:
        """Return an attribute that is a word."""
        value = self.attributes.get(attribute, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def number(self, attribute: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self.attributes.get(attribute, default))
