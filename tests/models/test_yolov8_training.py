"""The loss of YOLOv8, and that it teaches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou, nms

from edge_pipeline.core.annotations import Instances
from edge_pipeline.models import yolov8
from edge_pipeline.models.spec import YoloDetSpec, YoloSegSpec
from edge_pipeline.models.yolov8_network import ultralytics

SIZE = 128
Scene = tuple[torch.Tensor, Instances]


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """Return a function that draws rectangles (class 0) and ellipses (class 1) on a noisy ground."""

    def make(seed: int, objects: int = 2) -> Scene:
        generator = np.random.default_rng(seed)
        image = generator.normal(60, 10, (SIZE, SIZE, 3)).clip(0, 255)
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        boxes: list[list[int]] = []
        masks: list[NDArray[np.bool_]] = []
        kinds: list[int] = []
        for index in range(objects):
            width, height = generator.integers(28, 56, 2)
            left, top = 64 * index + generator.integers(0, 64 - width + 1), generator.integers(0, SIZE - height)
            kind = int(generator.integers(2))
            if kind:
                x, y = (columns - left) / width * 2 - 1, (rows - top) / height * 2 - 1
                mask = x**2 + y**2 <= 1
            else:
                mask = (columns > left) & (columns < left + width) & (rows > top) & (rows < top + height)
            image[mask] = [(220, 60, 60), (60, 60, 220)][kind]
            boxes.append([left, top, left + width, top + height])
            masks.append(mask)
            kinds.append(kind)
        dense = np.asarray(masks).reshape(-1, SIZE, SIZE)
        truth = Instances.of((SIZE, SIZE), boxes, kinds, masks=dense)
        return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255), truth

    return make


def make_spec(kind: str, outputs: str = "maps") -> Any:
    entry = {
        "recipe": f"yolov8_{kind}",
        "image_shape": (3, SIZE, SIZE),
        "classes": 2,
        "dataset": {"type": "aerial_scenes"},
    }
    return (YoloSegSpec if kind == "seg" else YoloDetSpec).model_validate({**entry, "outputs": outputs})


kinds = pytest.mark.parametrize("kind", ["det", "seg"])


@pytest.fixture
def network(one_thread: None) -> Callable[[str], Any]:
    def make(kind: str) -> Any:
        torch.manual_seed(0)
        return yolov8.build(make_spec(kind))

    return make


def loss_of(net: Any, kind: str, scenes: list[Scene]) -> torch.Tensor:
    criterion = yolov8.criterion(net, make_spec(kind))
    return criterion(net.training_outputs(torch.stack([one for one, _ in scenes])), [truth for _, truth in scenes])


def test_it_is_that_of_the_original(network: Any, make_scene: Any) -> None:
    net = network("det").eval()
    scenes = [make_scene(seed) for seed in range(3)]
    with ultralytics() as package:
        from ultralytics.cfg import get_cfg

        original = package.DetectionModel("yolov8n.yaml", nc=2, verbose=False)
        original.args = get_cfg()
    original.load_state_dict(net.state_dict())
    boxes = torch.from_numpy(np.concatenate([truth.boxes for _, truth in scenes])) / SIZE
    batch = {
        "img": torch.stack([image for image, _ in scenes]),
        "batch_idx": torch.tensor([0.0, 0, 1, 1, 2, 2]),
        "cls": torch.from_numpy(np.concatenate([truth.classes for _, truth in scenes])).float(),
        "bboxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1),
    }
    with torch.no_grad():
        expected, _ = original.eval().loss(batch)
        assert loss_of(net, "det", scenes).item() == pytest.approx(expected.sum().item() / 3, rel=1e-5)


@kinds
def test_every_weight_of_the_network_gets_a_gradient(network: Any, make_scene: Any, kind: str) -> None:
    net = network(kind)
    loss = loss_of(net, kind, [make_scene(seed) for seed in range(4)])
    assert loss.shape == ()
    loss.backward()
    trained = {name: one.grad for name, one in net.named_parameters() if one.requires_grad}
    assert all(grad is not None and torch.isfinite(grad).all() for grad in trained.values())


@kinds
def test_images_without_objects_have_a_finite_loss_alone_and_among_others(
    network: Any, make_scene: Any, kind: str
) -> None:
    net = network(kind)
    empty = make_scene(0, objects=0)
    for scenes in ([empty], [empty, empty], [make_scene(1), empty], [empty, make_scene(1)]):
        loss = loss_of(net, kind, scenes)
        assert torch.isfinite(loss)
        loss.backward()


@kinds
def test_crowds_and_boxes_without_area_count_for_nothing(network: Any, make_scene: Any, kind: str) -> None:
    net = network(kind).eval()
    image, truth = make_scene(0)
    extra = Instances.of(
        truth.size,
        np.concatenate([truth.boxes, [[10, 10, 90, 90], [30, 40, 30, 80]]]),
        [*truth.classes, 1, 0],
        masks=[*truth.masks, truth.masks[0], truth.masks[1]],
        crowd=[False, False, True, False],
    )
    with torch.no_grad():
        assert loss_of(net, kind, [(image, extra)]).item() == loss_of(net, kind, [(image, truth)]).item()


def test_masks_teach_the_prototypes(network: Any, make_scene: Any) -> None:
    net = network("seg").eval()
    image, truth = make_scene(0)
    other = Instances.of(truth.size, truth.boxes, truth.classes, masks=truth.masks[::-1])
    with torch.no_grad():
        assert loss_of(net, "seg", [(image, other)]).item() != loss_of(net, "seg", [(image, truth)]).item()


@pytest.mark.slow
@kinds
def test_a_few_steps_teach_it_to_find_the_objects_of_eight_images(network: Any, make_scene: Any, kind: str) -> None:
    net = network(kind)
    scenes = [make_scene(seed) for seed in range(8)]
    images, truths = torch.stack([image for image, _ in scenes]), [truth for _, truth in scenes]
    criterion = yolov8.criterion(net, make_spec(kind))
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(60):
        optimizer.zero_grad()
        criterion(net.train().training_outputs(images), truths).backward()
        optimizer.step()
    net.decoder = yolov8.build(make_spec(kind, "boxes")).decoder
    with torch.no_grad():
        found = net.eval()(images)
    hits, strays = [], 0
    for index, truth in enumerate(truths):
        boxes, scores, classes = (one[index] for one in found[:3])
        kept = torch.nonzero(scores > 0.25)[:, 0]
        kept = kept[nms(boxes[kept], scores[kept], 0.5)]
        overlaps = box_iou(torch.from_numpy(truth.boxes), boxes[kept])
        same = torch.from_numpy(truth.classes)[:, None] == classes[kept][None]
        matched = (overlaps > 0.5) & same
        hits += matched.any(1).tolist()
        strays += int((~matched.any(0)).sum())
    assert np.mean(hits) >= 0.9
    assert strays <= 4
