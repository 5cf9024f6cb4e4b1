import numpy as np

from edge_pipeline.core.types import Artifact
from edge_pipeline.pipelines.references import FILE, References, pack, references


def test_what_was_packed_is_read_in_its_order() -> None:
    numbers = iter(range(100))
    groups = [tuple(np.full((2, 3), next(numbers), np.float32) for _ in range(count)) for count in (1, 12, 2, 0)]
    found = references(Artifact("exported", {FILE: pack(References(*groups))}))
    for group, read in zip(groups, (found.inputs, found.float, found.source, found.shown), strict=True):
        assert len(group) == len(read)
        assert all(np.array_equal(a, b) for a, b in zip(group, read, strict=True))
