import re

import pytest

from edge_pipeline.core.types import Precision, RuntimeName, Target


@pytest.mark.parametrize(
    ("runtime", "precision", "name", "slug"),
    [
        (RuntimeName.ONNX, Precision.W8A8, "digits@host/onnx/w8a8", "host-onnx-w8a8"),
        (RuntimeName.TFLITE, Precision.FLOAT, "digits@host/tflite/float", "host-tflite-float"),
    ],
)
def test_name_and_slug(runtime: RuntimeName, precision: Precision, name: str, slug: str) -> None:
    target = Target("digits", "host", runtime, precision)
    assert (target.name, target.slug) == (name, slug)


def test_a_slug_is_usable_as_file_and_dataset_name() -> None:
    assert all(re.fullmatch(r"[\w-]+", Target("m", "host", r, p).slug) for r in RuntimeName for p in Precision)
