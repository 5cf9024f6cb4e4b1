import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.annotations import encode_masks
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.coco import CocoSamples
from tests.datasets.coco_labels import SQUARE, annotation

WriteImage = Callable[..., Path]


def test_classes_are_in_the_order_of_their_ids(open_coco: Callable, coco_labels: Any) -> None:
    samples = open_coco(coco_labels)
    assert samples.classes == ("cat", "dog")
    assert samples.labels is None
    assert samples.parts is None


@pytest.mark.parametrize("box", [[10, 10, 0, 5], [10, 10, 5, 0], [10, 10, 0.0, 0.0]])
def test_an_annotation_without_area_labels_nothing(open_coco: Callable, coco_labels: Any, box: list[float]) -> None:
    coco_labels["annotations"].append(annotation(9, bbox=box, segmentation=[]))
    assert len(open_coco(coco_labels, masks=True).truth(0)) == 1


def test_samples_are_in_the_order_of_the_images(open_coco: Callable, coco_labels: Any, coco_images: Path) -> None:
    samples = open_coco(coco_labels, channels=1)
    assert len(samples) == 3
    for index, name in enumerate(("a.png", "b.png", "deep/c.png")):
        assert np.array_equal(samples.picture(index)[:, :, 0], np.asarray(Image.open(coco_images / name)))


def test_the_truth_of_an_image_holds_its_boxes_by_their_corners(open_coco: Callable, coco_labels: Any) -> None:
    found = open_coco(coco_labels).truth(2)
    assert found.size == (30, 40)
    assert found.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 40, 30]]
    assert found.boxes.dtype == np.float32
    assert found.classes.tolist() == [1, 0]
    assert found.scores.tolist() == [1, 1]
    assert found.crowd.tolist() == [False, True]
    assert found.masks is None


def test_an_image_without_objects_is_a_background_image(open_coco: Callable, coco_labels: Any) -> None:
    for masks in (False, True):
        found = open_coco(coco_labels, masks=masks).truth(1)
        assert len(found) == 0
        assert found.boxes.shape == (0, 4)
    assert found.dense_masks().shape == (0, 30, 40)


def test_the_truth_needs_no_pixels(open_coco: Callable, coco_labels: Any, coco_images: Path) -> None:
    samples = open_coco(coco_labels, masks=True)
    for path in coco_images.rglob("*.png"):
        path.unlink()
    assert len(samples.truth(2)) == 2


@pytest.mark.parametrize("kind", ["polygon", "polygons", "compressed", "uncompressed"])
def test_masks_of_every_form_are_read(open_coco: Callable, coco_labels: Any, kind: str) -> None:
    expected = np.zeros((30, 40), np.uint8)
    expected[10:20, 10:20] = 1
    runs = expected.T.reshape(-1)
    edges = np.flatnonzero(np.diff(runs, prepend=0, append=0))
    counts = np.diff([0, *edges, len(runs)]).tolist()
    segmentation = {
        "polygon": [SQUARE],
        "polygons": [[10, 10, 20, 10, 20, 15, 10, 15], [10, 15, 20, 15, 20, 20, 10, 20]],
        "compressed": {"size": [30, 40], "counts": encode_masks(expected[None])[0]["counts"].decode()},
        "uncompressed": {"size": [30, 40], "counts": counts},
    }[kind]
    coco_labels["annotations"][1]["segmentation"] = segmentation
    found = open_coco(coco_labels, masks=True).truth(0)
    assert np.array_equal(found.dense_masks(), expected[None].astype(bool))


def test_masks_are_pixel_for_pixel_those_of_cocos_own_tools(open_coco: Callable, coco_labels: Any) -> None:
    from faster_coco_eval.core import mask

    generator = np.random.default_rng(0)
    polygons = [np.round(generator.random((9, 2)) * (40, 30), 1).reshape(-1).tolist() for _ in range(200)]
    coco_labels["annotations"] = [annotation(i, segmentation=[polygon]) for i, polygon in enumerate(polygons)]
    found = open_coco(coco_labels, masks=True).truth(0)
    for polygon, one in zip(polygons, found.masks, strict=True):
        assert one["counts"] == mask.frPyObjects([polygon], 30, 40)[0]["counts"]


def test_masks_keep_to_their_boxes_whatever_the_order_of_the_annotations(open_coco: Callable, coco_labels: Any) -> None:
    generator = np.random.default_rng(0)
    made = []
    for number in range(60):
        x, y, w, h = (int(generator.integers(low, high)) for low, high in ((0, 20), (0, 15), (2, 20), (2, 15)))
        shape = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        if number % 3 == 0:
            dense = np.zeros((1, 30, 40), np.uint8)
            dense[0, y : y + h, x : x + w] = 1
            shape = {"size": [30, 40], "counts": encode_masks(dense)[0]["counts"].decode()}
        image = int(generator.choice([7, 3, 12]))
        made.append(annotation(number, image_id=image, bbox=[x, y, w, h], segmentation=shape))
    coco_labels["annotations"] = made
    samples = open_coco(coco_labels, masks=True)
    assert sum(len(samples.truth(i)) for i in range(3)) == 60
    for index in range(3):
        truth = samples.truth(index)
        for box, dense in zip(truth.boxes, truth.dense_masks(), strict=True):
            rows, columns = np.flatnonzero(dense.any(1)), np.flatnonzero(dense.any(0))
            assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == box.tolist()


def test_boxes_that_reach_half_a_pixel_beyond_the_image_are_clipped(open_coco: Callable, coco_labels: Any) -> None:
    coco_labels["annotations"] = [annotation(1, bbox=[-0.5, -0.25, 41, 30.7])]
    assert open_coco(coco_labels).truth(0).boxes.tolist() == [[0, 0, 40, 30]]


def test_whole_numbers_may_be_written_with_a_point(open_coco: Callable, coco_labels: Any) -> None:
    coco_labels["annotations"] = [annotation(1.0, image_id=7.0, category_id=90.0)]
    coco_labels["images"][0].update(width=40.0)
    assert open_coco(coco_labels).truth(0).classes.tolist() == [1]


def test_the_order_of_the_lists_in_the_file_does_not_matter(open_coco: Callable, coco_labels: Any) -> None:
    turned = open_coco(dict(reversed(coco_labels.items())), masks=True)
    assert turned.content_hash() == open_coco(coco_labels, masks=True).content_hash()


def test_a_byte_order_mark_and_white_space_are_allowed(open_coco: Callable, coco_labels: Any) -> None:
    text = json.dumps(coco_labels, indent=2).replace("\n", "\r\n")
    assert len(open_coco(b"\xef\xbb\xbf\r\n" + text.encode() + b"\r\n\t ")) == 3


@pytest.fixture
def divided(coco_images: Path, tmp_path: Path, coco_labels: Any) -> dict[str, tuple[Path, Path]]:
    """The same images as training and as test part."""
    for name in ("train.json", "test.json"):
        (tmp_path / name).write_text(json.dumps(coco_labels))
    return {name: (coco_images, tmp_path / f"{name}.json") for name in ("train", "test")}


def test_several_files_are_parts_one_after_the_other(divided: Any, coco_labels: Any) -> None:
    coco_labels["images"] = coco_labels["images"][2:]
    coco_labels["annotations"] = coco_labels["annotations"][:1]
    divided["test"][1].write_text(json.dumps(coco_labels))
    samples = CocoSamples(divided, 3, masks=True)
    assert {name: list(part) for name, part in (samples.parts or {}).items()} == {"train": [0, 1, 2], "test": [3]}
    assert samples.truth(3).boxes.tolist() == [[1, 2, 4, 6]]
    assert np.array_equal(samples.picture(3), samples.picture(2))


@pytest.mark.parametrize("change", [{"name": "wolf"}, {"id": 91}])
def test_parts_with_other_categories_are_refused(divided: Any, coco_labels: Any, change: dict[str, Any]) -> None:
    coco_labels["categories"][0].update(change)
    coco_labels["annotations"] = coco_labels["annotations"][1:]
    divided["test"][1].write_text(json.dumps(coco_labels))
    with pytest.raises(DatasetError, match=r"train\.json and .*test\.json differ in .*90 \(dog\)"):
        CocoSamples(divided, 3, masks=False)


def test_the_hash_changes_with_an_image_a_box_a_class_and_a_mask(
    open_coco: Callable, coco_labels: Any, coco_images: Path
) -> None:
    hashes = {open_coco(coco_labels, masks=True).content_hash()}
    coco_labels["annotations"][0]["bbox"][0] = 2
    hashes.add(open_coco(coco_labels, masks=True).content_hash())
    coco_labels["annotations"][0]["category_id"] = 5
    hashes.add(open_coco(coco_labels, masks=True).content_hash())
    coco_labels["annotations"][0]["segmentation"][0][0] = 11
    hashes.add(open_coco(coco_labels, masks=True).content_hash())
    coco_labels["categories"][0]["name"] = "wolf"
    hashes.add(open_coco(coco_labels, masks=True).content_hash())
    (coco_images / "a.png").write_bytes((coco_images / "a.png").read_bytes() + b"\0")
    hashes.add(open_coco(coco_labels, masks=True).content_hash())
    assert len(hashes) == 6


def test_the_hash_stays_when_the_dataset_is_moved(
    open_coco: Callable, coco_labels: Any, coco_images: Path, tmp_path: Path
) -> None:
    before = open_coco(coco_labels)
    coco_images.rename(tmp_path / "elsewhere")
    moved = CocoSamples({"train": (tmp_path / "elsewhere", tmp_path / "labels.json")}, 3, masks=False)
    with pytest.raises(DatasetError, match=r"a\.png"):
        before.content_hash()
    (tmp_path / "elsewhere").rename(coco_images)
    expected = before.content_hash()
    coco_images.rename(tmp_path / "elsewhere")
    assert moved.content_hash() == expected


def test_samples_can_be_pickled(open_coco: Callable, coco_labels: Any) -> None:
    samples = open_coco(coco_labels, masks=True)
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.truth(2).dense_masks(), samples.truth(2).dense_masks())
    assert np.array_equal(copy.picture(0), samples.picture(0))


def test_a_file_larger_than_a_block_is_read_whole(open_coco: Callable, coco_labels: Any, monkeypatch: Any) -> None:
    from edge_pipeline.datasets import json_stream

    expected = open_coco(coco_labels, masks=True).content_hash()
    for block in (1, 2, 3, 7, 50):
        monkeypatch.setattr(json_stream, "_BLOCK", block)
        assert open_coco(coco_labels, masks=True).content_hash() == expected
