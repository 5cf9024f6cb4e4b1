"""Probabilities, label maps and raw outputs; and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.interface import ClassMap, Interface, Logits, Postprocessing, Preprocessing, Raw
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.tasks.decode import decode


def interface(postprocessing: Postprocessing, *shapes: tuple[int, ...], size: tuple[int, int] = (32, 48)) -> Interface:
    return Interface(
        inputs=(TensorSpec("image", (1, 3, *size), "float32"),),
        outputs=tuple(TensorSpec(f"out{index}", shape, "float32") for index, shape in enumerate(shapes)),
        preprocessing=Preprocessing(size=size),
        postprocessing=postprocessing,
    )


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_logits_become_probabilities() -> None:
    logits = normal(5, 7) * 4
    found = decode([logits], interface(Logits(), (1, 7)))
    assert len(found) == 5
    assert all(one.dtype == np.float32 for one in found)
    assert np.allclose(found, torch.softmax(torch.from_numpy(logits), 1).numpy(), atol=1e-6)


def test_large_logits_do_not_overflow() -> None:
    (found,) = decode([np.array([[1e30, 0, -1e30]], np.float32)], interface(Logits(), (1, 3)))
    assert found.tolist() == [1, 0, 0]


@pytest.mark.parametrize("shape", [(4, 6), (32, 48), (31, 17), (1, 1), (64, 96)])
def test_class_maps_are_enlarged_like_torch_does(shape: tuple[int, int]) -> None:
    scores = normal(2, 6, *shape)
    found = decode([scores], interface(ClassMap(), (1, 6, *shape)))
    wide = torch.nn.functional.interpolate(torch.from_numpy(scores), size=(32, 48), mode="bilinear")
    assert [(one.shape, one.dtype) for one in found] == [((32, 48), np.uint8)] * 2
    for labels, expected in zip(found, wide, strict=True):
        best = expected.max(0).values
        chosen = expected.gather(0, torch.from_numpy(labels.astype(np.int64))[None])[0]
        assert float((best - chosen).max()) < 1e-5


def test_of_equal_scores_the_first_class_is_named() -> None:
    (found,) = decode([np.zeros((1, 3, 4, 4), np.float32)], interface(ClassMap(), (1, 3, 4, 4)))
    assert not found.any()


def test_label_maps_keep_255_free() -> None:
    decode([np.zeros((1, 255, 2, 2), np.float32)], interface(ClassMap(), (1, 255, 2, 2)))
    with pytest.raises(DeviceError, match="255 classes apart, the model has 256"):
        decode([np.zeros((1, 256, 2, 2), np.float32)], interface(ClassMap(), (1, 256, 2, 2)))


def test_the_size_of_an_input_that_is_no_picture_is_its_tensors() -> None:
    declared = interface(ClassMap(), (1, 2, 4, 4)).model_copy(update={"preprocessing": None})
    (found,) = decode([normal(1, 2, 4, 4)], declared)
    assert found.shape == (32, 48)


def test_raw_outputs_lose_their_batch_axis() -> None:
    one, two = normal(3, 4, 5), normal(3)
    assert np.array_equal(decode([one], interface(Raw(), (1, 4, 5))), one)
    found = decode([one, two], interface(Raw(), (1, 4, 5), (1,)))
    assert [type(item) for item in found] == [tuple] * 3
    assert np.array_equal(found[2][0], one[2])
    assert found[2][1] == two[2]


def test_half_precision_and_integers_are_taken() -> None:
    (found,) = decode([normal(1, 4).astype(np.float16)], interface(Logits(), (1, 4)))
    assert found.dtype == np.float32
    assert found.sum() == pytest.approx(1)
    (found,) = decode([np.array([[10, 20]], np.int8)], interface(Logits(), (1, 2)))
    assert found[1] > 0.99


def test_the_number_of_outputs_must_fit() -> None:
    with pytest.raises(DeviceError, match="gave 2 outputs, 1 were expected: out0"):
        decode([normal(1, 4), normal(1, 4)], interface(Logits(), (1, 4)))


@pytest.mark.parametrize("shape", [(1, 5), (1, 4, 1), (4,), ()])
def test_shapes_must_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(DeviceError, match=r"output 0 \('out0'\) has shape .*, expected \(.*, 4\)"):
        decode([normal(*shape)], interface(Logits(), (1, 4)))


def test_all_outputs_must_have_the_same_number_of_pictures() -> None:
    with pytest.raises(DeviceError, match=r"output 1 \('out1'\) has shape \(3, 4\), expected \(2, 4\)"):
        decode([normal(2, 4), normal(3, 4)], interface(Raw(), (1, 4), (1, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_must_be_finite(value: float) -> None:
    with pytest.raises(DeviceError, match=r"output 0 \('out0'\) holds values that are not finite"):
        decode([np.array([[1, value]], np.float32)], interface(Logits(), (1, 2)))


def test_raw_outputs_may_be_infinite_but_never_nan() -> None:
    decode([np.array([[1, -np.inf]], np.float32)], interface(Raw(), (1, 2)))
    with pytest.raises(DeviceError, match="not finite"):
        decode([np.array([[1, np.nan]], np.float32)], interface(Raw(), (1, 2)))
