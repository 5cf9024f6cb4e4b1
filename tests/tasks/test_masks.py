import numpy as np
import pytest

from edge_pipeline.core.annotations import decode_masks, encode_masks
from edge_pipeline.tasks.masks import encode_region


@pytest.mark.parametrize(
    ("shape", "top", "left"), [((5, 7), 3, 2), ((20, 30), 0, 0), ((1, 1), 19, 29), ((0, 0), 0, 0), ((20, 3), 0, 11)]
)
def test_a_region_is_encoded_as_coco_does(shape: tuple[int, int], top: int, left: int) -> None:
    generator = np.random.default_rng(0)
    for share in (0.0, 0.3, 0.9, 1.0):
        region = generator.random(shape) < share
        whole = np.zeros((1, 20, 30), np.uint8)
        whole[0, top : top + shape[0], left : left + shape[1]] = region
        found = encode_region(region, top, left, (20, 30))
        assert dict(found) == dict(encode_masks(whole)[0])
        assert np.array_equal(decode_masks([found], (20, 30)), whole)
