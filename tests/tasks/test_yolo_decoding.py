"""Boxes, classes and masks from YOLO heads: against ultralytics on a random network, and by hand."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.interface import Interface, Preprocessing, YoloBoxes, YoloMaps
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.tasks.decode import decode
from edge_pipeline.tasks.yolo import suppress

SIZE = (128, 160)
STRIDES = (8, 16, 32)


def decoded(outputs: list[Any], settings: YoloMaps | YoloBoxes, size: tuple[int, int] = SIZE) -> list[Instances]:
    specs = [TensorSpec(f"out{index}", (1, *one.shape[1:]), "float32") for index, one in enumerate(outputs)]
    declared = Interface(
        inputs=(TensorSpec("image", (1, 3, *size), "float32"),),
        outputs=tuple(specs),
        preprocessing=Preprocessing(size=size),
        postprocessing=settings,
    )
    return [one for one in decode(outputs, declared) if isinstance(one, Instances)]


def head_maps(classes: int = 2, size: tuple[int, int] = SIZE) -> list[Any]:
    """Return the maps of one image that shows nothing: every class has the logit -20."""
    maps = []
    for stride in STRIDES:
        shape = (size[0] // stride, size[1] // stride)
        maps += [np.zeros((1, 64, *shape), np.float32), np.full((1, classes, *shape), -20, np.float32)]
    return maps


def place(
    maps: list[Any], level: int, cell: tuple[int, int], sides: tuple[float, ...], kind: int, logit: float
) -> None:
    """Let one cell see an object whose sides are so many strides away."""
    y, x = cell
    for side, distance in enumerate(sides):
        low = int(distance)
        bins = np.full(16, -50.0)
        bins[low] = np.log(1 - distance + low)
        if distance > low:
            bins[low + 1] = np.log(distance - low)
        maps[2 * level][0, 16 * side : 16 * side + 16, y, x] = bins
    maps[2 * level + 1][0, kind, y, x] = logit


def test_an_object_placed_by_hand() -> None:
    maps = head_maps()
    place(maps, 1, (3, 4), (1.5, 2.25, 3.0, 0.5), 1, 1.0)
    (found,) = decoded(maps, YoloMaps(confidence=0.1))
    x, y = 4.5 * 16, 3.5 * 16
    assert found.size == SIZE
    assert found.boxes[0].tolist() == pytest.approx([x - 24, y - 36, x + 48, y + 8], abs=1e-3)
    assert (found.classes.tolist(), found.masks) == ([1], None)
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-1))])


def test_boxes_are_clipped_to_the_input() -> None:
    maps = head_maps()
    place(maps, 2, (0, 0), (9, 9, 9, 9), 0, 2.0)
    (found,) = decoded(maps, YoloMaps())
    assert found.boxes.tolist() == [[0, 0, 160, 128]]


def test_a_cell_gives_its_best_class_only() -> None:
    maps = head_maps()
    place(maps, 0, (5, 5), (2, 2, 2, 2), 0, 1.0)
    place(maps, 0, (5, 5), (2, 2, 2, 2), 1, 1.5)
    (found,) = decoded(maps, YoloMaps())
    assert found.classes.tolist() == [1]


def test_objects_of_other_classes_do_not_suppress_each_other() -> None:
    maps = head_maps()
    place(maps, 0, (5, 5), (2, 2, 2, 2), 0, 1.0)
    place(maps, 0, (5, 6), (3, 2, 1, 2), 0, 2.0)
    place(maps, 0, (6, 6), (3, 3, 1, 1), 1, 0.5)
    (found,) = decoded(maps, YoloMaps())
    assert found.classes.tolist() == [0, 1]
    assert np.all(np.diff(found.scores) < 0)


def test_nothing_above_the_confidence_is_nothing() -> None:
    (found,) = decoded(head_maps(), YoloMaps())
    assert (len(found), found.masks) == (0, None)


def test_only_the_best_are_kept() -> None:
    maps = head_maps()
    for index in range(10):
        place(maps, 0, (index, index), (0.4, 0.4, 0.4, 0.4), 0, float(index))
    (found,) = decoded(maps, YoloMaps(max_detections=3))
    assert found.boxes[:, 0].tolist() == pytest.approx([(index + 0.1) * 8 for index in (9, 8, 7)], abs=1e-3)


def test_every_image_of_a_batch_is_its_own() -> None:
    first, second = head_maps(), head_maps()
    place(second, 0, (5, 5), (2, 2, 2, 2), 0, 1.0)
    found = decoded([np.concatenate(pair) for pair in zip(first, second, strict=True)], YoloMaps())
    assert [len(one) for one in found] == [0, 1]


def test_very_large_values_do_not_overflow() -> None:
    maps = head_maps()
    maps[0][:, 5], maps[1][0, 0, 2, 2] = 1e4, 1e4
    (found,) = decoded(maps, YoloMaps())
    assert found.scores.tolist() == [1]
    assert np.isfinite(found.boxes).all()


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression_is_torchvisions(classes: int, threshold: float) -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 200, (2_000, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(0, 80, (2_000, 2))], 1).astype(np.float32)
    boxes[:5, 2:] = boxes[:5, :2]
    scores = generator.permutation(np.linspace(0, 1, 2_000, dtype=np.float32))
    kinds = generator.integers(0, classes, 2_000)
    expected = batched_nms(*map(torch.from_numpy, (boxes, scores, kinds)), threshold).numpy()
    assert 20 < len(expected) < 1_950
    assert np.array_equal(suppress(boxes, scores, kinds, threshold, 10_000), expected)
    assert np.array_equal(suppress(boxes, scores, kinds, threshold, 7), expected[:7])


def test_maps_in_another_order_are_refused() -> None:
    maps = head_maps()
    with pytest.raises(DeviceError, match="Check the order of the outputs"):
        decoded([maps[1], maps[0], *maps[2:]], YoloMaps())
    with pytest.raises(DeviceError, match="3 levels need 10 outputs of the model, there are 6"):
        decoded(maps, YoloMaps(mask_channels=32))


def test_decoded_boxes() -> None:
    boxes = np.array([[[10, 20, 50, 60], [12, 20, 50, 60], [0, 0, 9, 9], [10, 20, 50, 60]]], np.float32)
    scores, kinds = np.array([[0.5, 0.9, 0.05, 0.4]], np.float32), np.array([[3, 3, 3, 1]], np.uint8)
    (found,) = decoded([boxes, scores, kinds], YoloBoxes(confidence=0.1))
    assert found.boxes.tolist() == [[12, 20, 50, 60], [10, 20, 50, 60]]
    assert found.classes.tolist() == [3, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])


def test_decoded_boxes_with_masks_by_hand() -> None:
    prototypes = np.zeros((1, 2, 32, 40), np.float32)
    prototypes[0, 0, :, :20], prototypes[0, 1] = 1, -0.5
    outputs = [
        np.array([[[40, 8, 120, 24], [0, 100, 8, 108]]], np.float32),
        np.array([[0.9, 0.8]], np.float32),
        np.array([[0, 0]], np.float32),
        np.array([[[1, 1], [-1, 0]]], np.float32),
        prototypes,
    ]
    (found,) = decoded(outputs, YoloBoxes(mask_channels=2))
    first, second = found.dense_masks()
    # Positive in the left half of the input, cut by the box.
    assert np.argwhere(first).min(0).tolist() == [8, 40]
    assert np.argwhere(first).max(0).tolist() == [23, 79]
    assert first.sum() == 16 * 40
    assert not second.any()


def test_wrong_shapes_of_decoded_boxes_are_refused() -> None:
    boxes, scores = np.zeros((1, 5, 4), np.float32), np.zeros((1, 5), np.float32)
    with pytest.raises(DeviceError, match=r"`class_idx` has shape \(4,\) for an image, expected \(5,\)"):
        decoded([boxes, scores, scores[:, :4]], YoloBoxes())
    with pytest.raises(DeviceError, match="5 outputs of the model are needed, there are 3"):
        decoded([boxes, scores, scores], YoloBoxes(mask_channels=32))


def test_many_masks_of_a_large_input_take_little_memory() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 500, (300, 2))
    outputs = [
        np.concatenate([corners, corners + 120], 1)[None].astype(np.float32),
        generator.uniform(0.1, 1, (1, 300)).astype(np.float32),
        np.arange(300, dtype=np.float32)[None],
        generator.normal(size=(1, 300, 32)).astype(np.float32),
        generator.normal(size=(1, 32, 160, 160)).astype(np.float32),
    ]
    tracemalloc.start()
    (found,) = decoded(outputs, YoloBoxes(mask_channels=32), (640, 640))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found), len(found.masks or ())) == (300, 300)
    assert peak < 20 * 2**20


@pytest.fixture(scope="module")
def random_network(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[str], Any]) -> Any:
    """A YOLOv8 with masks whose classes are as unsure as those of a trained one, and an image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("ultralytics")))
        tasks = needs("ultralytics.nn.tasks")
        torch.manual_seed(0)
        net = tasks.SegmentationModel("yolov8n-seg.yaml", nc=5, verbose=False)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            for _ in range(2):
                net(torch.rand(4, 3, *SIZE))
            head = net.eval().model[-1]
            for level in range(3):
                head.cv3[level][-1].weight.mul_(2)
                head.cv3[level][-1].bias.fill_(-1)
            yield net(torch.rand(2, 3, *SIZE))


@pytest.mark.slow
def test_a_random_network_against_ultralytics(random_network: Any) -> None:
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import process_mask

    (boxes, prototypes), raw = random_network
    sizes = [(SIZE[0] // stride, SIZE[1] // stride) for stride in STRIDES]
    maps = {
        key: [
            part.reshape(2, -1, *size).numpy()
            for part, size in zip(raw[key].split([h * w for h, w in sizes], 2), sizes, strict=True)
        ]
        for key in ("boxes", "scores", "mask_coefficient")
    }
    pairs = [one for level in zip(maps["boxes"], maps["scores"], strict=True) for one in level]
    outputs = [*pairs, *maps["mask_coefficient"], prototypes.numpy()]
    found = decoded(outputs, YoloMaps(mask_channels=32, confidence=0.2, iou=0.5, max_detections=50))
    expected = non_max_suppression(boxes, 0.2, 0.5, max_det=50, nc=5)
    for image, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert 20 <= len(one) == len(other)
        assert len(set(one.classes.tolist())) > 1
        inside = np.clip(other[:, :4].numpy(), 0, [SIZE[1], SIZE[0]] * 2)
        assert np.allclose(one.boxes, inside, atol=1e-3)
        assert np.allclose(one.scores, other[:, 4].numpy(), atol=1e-5)
        assert np.array_equal(one.classes, other[:, 5].numpy())
        masks = process_mask(prototypes[image], other[:, 6:], torch.from_numpy(inside), SIZE, upsample=True)
        assert float(masks.float().mean()) > 0.05
        assert (one.dense_masks() != masks.numpy().astype(bool)).mean() < 1e-5
