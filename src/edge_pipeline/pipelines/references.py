"""What was recorded at export, so that every target can be compared with what it was made from."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.types import Artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = tuple[NDArray[Any], ...]

FILE = "references.npz"


@dataclass(frozen=True)
class References:
    """Each field is a tuple of arrays with one row a sample.

    Attributes:
        inputs: of validation samples.
        float: outputs of the float network for them.
        source: outputs for them of what was exported: the float network, or its quantized simulation.
        shown: outputs of the float network for the test samples that are drawn.
    """

    inputs: "Tensors"
    float: "Tensors"
    source: "Tensors"
    shown: "Tensors"


def pack(references: References) -> bytes:
    """Return the references as one .npz file."""
    import numpy as np

    buffer = io.BytesIO()
    arrays: Any = {
        f"{name}-{index:04d}": one for name, group in vars(references).items() for index, one in enumerate(group)
    }
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def references(exported: Artifact) -> References:
    """Return the references of an `exported` artifact."""
    import numpy as np

    groups: dict[str, list[Any]] = {name: [] for name in References.__dataclass_fields__}
    with np.load(io.BytesIO(exported.files[FILE]), allow_pickle=False) as archive:
        for name in sorted(archive.files):
            groups[name.partition("-")[0]].append(archive[name])
    return References(**{name: tuple(group) for name, group in groups.items()})
