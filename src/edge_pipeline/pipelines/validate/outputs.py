"""The outputs of a target for the reference images, kept so that devices can be compared without running anything."""

import io
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.types import Artifact

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors

OUTPUTS = "outputs.npz"

OUTCOMES = "outcomes.npz"
"""What every test image came to, where the task has a meaning; see tasks/outcomes.py."""

KEPT_BYTES = 8_000_000
"""Size of the outputs that are kept, before compression; always those of one image."""


def keep(outputs: "Tensors") -> tuple[bytes, int]:
    """Return the first rows of `outputs`, each (n, ...), as a compressed .npz, and how many rows these are.

    Equal outputs give equal bytes.
    """
    import numpy as np

    rows = min(len(outputs[0]), max(1, KEPT_BYTES // sum(one[:1].nbytes for one in outputs)))
    named: Any = {f"{index:04d}": one[:rows] for index, one in enumerate(outputs)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue(), rows


def kept(predictions: Artifact) -> "Tensors":
    """Return the outputs, each (n, ...), that a `predictions` artifact keeps, in the order of the network's outputs."""
    from edge_pipeline.devices.agent.tensors import unpack

    return unpack(io.BytesIO(predictions.files[OUTPUTS]))
