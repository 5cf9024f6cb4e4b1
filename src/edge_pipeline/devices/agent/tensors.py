"""Several arrays as one file, in their order."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Tensors = tuple[NDArray[Any], ...]
"""All inputs, or all outputs, of a network; each (n, ...) for n samples."""


def pack(file: Path | BinaryIO, tensors: Tensors) -> None:
    """Write `tensors` as an uncompressed .npz."""
    named: Any = {f"{index:04d}": one for index, one in enumerate(tensors)}
    if isinstance(file, Path):
        with file.open("wb") as opened:
            np.savez(opened, **named)
    else:
        np.savez(file, **named)


def unpack(file: Path | BinaryIO) -> Tensors:
    """Read what `pack` wrote; pickled objects are refused."""
    with np.load(file, allow_pickle=False) as archive:
        return tuple(archive[name] for name in sorted(archive.files))
