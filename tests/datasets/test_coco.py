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

WriteImage = Callable[..., Path]
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


@pytest.fixture
def images(tmp_path: Path, write_image: WriteImage) -> Path:
    """Three images of 40x30 pixels."""
    for name in ("a.png", "b.png", "deep/c.png"):
        write_image(tmp_path / "images" / name, size=(40, 30))
    return tmp_path / "images"


@pytest.fixture
def labels() -> dict[str, Any]:
    """Objects in two of three images; the category ids have gaps and are not in order."""
    return {
        "info": {"year": 2024, "nested": [1, [2]]},
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 12, "file_name": "deep/c.png", "width": 40, "height": 30},
        ],
        "annotations": [
            annotation(1, image_id=12, category_id=90, bbox=[1, 2, 3, 4]),
            annotation(2, image_id=7, category_id=5, bbox=[10, 10, 10, 10]),
            annotation(5, image_id=12, category_id=5, bbox=[0.5, 0, 39.5, 30], iscrowd=1),
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 5, "name": "cat"}],
    }


def annotation(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 7,
        "category_id": 5,
        "bbox": [10, 10, 10, 10],
        "segmentation": [SQUARE],
        **changes,
    }


@pytest.fixture
def opened(images: Path, tmp_path: Path) -> Callable[..., CocoSamples]:
    def open_labels(content: Any, *, channels: int = 3, masks: bool = False) -> CocoSamples:
        path = tmp_path / "labels.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return CocoSamples({"train": (images, path)}, channels, masks=masks)

    return open_labels


def test_classes_are_in_the_order_of_their_ids(opened: Callable, labels: Any) -> None:
    samples = opened(labels)
    assert samples.classes == ("cat", "dog")
    assert samples.labels is None
    assert samples.parts is None


@pytest.mark.parametrize("box", [[10, 10, 0, 5], [10, 10, 5, 0], [10, 10, 0.0, 0.0]])
def test_an_annotation_without_area_labels_nothing(opened: Callable, labels: Any, box: list[float]) -> None:
    labels["annotations"].append(annotation(9, bbox=box, segmentation=[]))
    assert len(opened(labels, masks=True).truth(0)) == 1


def test_samples_are_in_the_order_of_the_images(opened: Callable, labels: Any, images: Path) -> None:
    samples = opened(labels, channels=1)
    assert len(samples) == 3
    for index, name in enumerate(("a.png", "b.png", "deep/c.png")):
        assert np.array_equal(samples.picture(index)[:, :, 0], np.asarray(Image.open(images / name)))


def test_the_truth_of_an_image_holds_its_boxes_by_their_corners(opened: Callable, labels: Any) -> None:
    found = opened(labels).truth(2)
    assert found.size == (30, 40)
    assert found.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 40, 30]]
    assert found.boxes.dtype == np.float32
    assert found.classes.tolist() == [1, 0]
    assert found.scores.tolist() == [1, 1]
    assert found.crowd.tolist() == [False, True]
    assert found.masks is None


def test_an_image_without_objects_is_a_background_image(opened: Callable, labels: Any) -> None:
    for masks in (False, True):
        found = opened(labels, masks=masks).truth(1)
        assert len(found) == 0
        assert found.boxes.shape == (0, 4)
    assert found.dense_masks().shape == (0, 30, 40)


def test_the_truth_needs_no_pixels(opened: Callable, labels: Any, images: Path) -> None:
    samples = opened(labels, masks=True)
    for path in images.rglob("*.png"):
        path.unlink()
    assert len(samples.truth(2)) == 2


@pytest.mark.parametrize("kind", ["polygon", "polygons", "compressed", "uncompressed"])
def test_masks_of_every_form_are_read(opened: Callable, labels: Any, kind: str) -> None:
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
    labels["annotations"][1]["segmentation"] = segmentation
    found = opened(labels, masks=True).truth(0)
    assert np.array_equal(found.dense_masks(), expected[None].astype(bool))


def test_masks_are_pixel_for_pixel_those_of_cocos_own_tools(opened: Callable, labels: Any) -> None:
    from faster_coco_eval.core import mask

    generator = np.random.default_rng(0)
    polygons = [np.round(generator.random((9, 2)) * (40, 30), 1).reshape(-1).tolist() for _ in range(200)]
    labels["annotations"] = [annotation(i, segmentation=[polygon]) for i, polygon in enumerate(polygons)]
    found = opened(labels, masks=True).truth(0)
    for polygon, one in zip(polygons, found.masks, strict=True):
        assert one["counts"] == mask.frPyObjects([polygon], 30, 40)[0]["counts"]


def test_masks_keep_to_their_boxes_whatever_the_order_of_the_annotations(opened: Callable, labels: Any) -> None:
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
    labels["annotations"] = made
    samples = opened(labels, masks=True)
    assert sum(len(samples.truth(i)) for i in range(3)) == 60
    for index in range(3):
        truth = samples.truth(index)
        for box, dense in zip(truth.boxes, truth.dense_masks(), strict=True):
            rows, columns = np.flatnonzero(dense.any(1)), np.flatnonzero(dense.any(0))
            assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == box.tolist()


def test_boxes_that_reach_half_a_pixel_beyond_the_image_are_clipped(opened: Callable, labels: Any) -> None:
    labels["annotations"] = [annotation(1, bbox=[-0.5, -0.25, 41, 30.7])]
    assert opened(labels).truth(0).boxes.tolist() == [[0, 0, 40, 30]]


def test_whole_numbers_may_be_written_with_a_point(opened: Callable, labels: Any) -> None:
    labels["annotations"] = [annotation(1.0, image_id=7.0, category_id=90.0)]
    labels["images"][0].update(width=40.0)
    assert opened(labels).truth(0).classes.tolist() == [1]


def test_the_order_of_the_lists_in_the_file_does_not_matter(opened: Callable, labels: Any) -> None:
    turned = opened(dict(reversed(labels.items())), masks=True)
    assert turned.content_hash() == opened(labels, masks=True).content_hash()


def test_a_byte_order_mark_and_white_space_are_allowed(opened: Callable, labels: Any) -> None:
    text = json.dumps(labels, indent=2).replace("\n", "\r\n")
    assert len(opened(b"\xef\xbb\xbf\r\n" + text.encode() + b"\r\n\t ")) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 6}, "annotation 9 has the category id 6; those defined are 5, 90"),
        ({"image_id": 8}, "annotation 9 is of image id 8, which is not in `images`"),
        (
            {"bbox": [35, 3, 5.6, 4]},
            r"9: the box \(x 35, y 3, width 5\.6, height 4\) reaches beyond the image 'a\.png' of 40x30 pixels",
        ),
        ({"bbox": [-0.6, 3, 5, 4]}, r"annotation 9: the box .* beyond the image 'a\.png'"),
        ({"bbox": [3, 27, 5, 4]}, r"annotation 9: the box .* beyond the image 'a\.png'"),
        ({"bbox": [300, 3, 5, 4]}, r"annotation 9: the box .* beyond the image 'a\.png'"),
        ({"bbox": [3, 3, 4, -4]}, "annotation 9: its box has no area .*height -4"),
        ({"bbox": [3, 3, float("nan"), 4]}, "annotation 9: its box has no area .*width nan"),
        ({"bbox": [float("nan"), 3, 4, 4]}, "annotation 9: its box has no area .*x nan"),
        ({"bbox": [3, 3, float("inf"), 4]}, "annotation 9: its box has no area .*width inf"),
        ({"bbox": [3, 3, 4]}, r"annotation 9 \(entry 4 of `annotations`\): `bbox` is \[3, 3, 4\], four numbers"),
        ({"bbox": [3, 3, 4, "x"]}, "annotation 9 .*four numbers are expected"),
        ({"bbox": None}, "annotation 9 .*four numbers are expected"),
        ({"bbox": [3, 3, 4, 10**400]}, "annotation 9 .*four numbers are expected"),
        ({"id": 5}, "annotation id 5 is given twice"),
        ({"id": "nine"}, "`id` is 'nine', a whole number is expected"),
        ({"category_id": 5.5}, r"`category_id` is 5\.5, a whole number is expected"),
        ({"image_id": 2**70}, "`image_id` is .*, a whole number is expected"),
    ],
)
def test_a_wrong_annotation_is_refused_by_file_and_id(
    opened: Callable, labels: Any, change: dict[str, Any], message: str
) -> None:
    labels["annotations"].append(annotation(9, **change))
    with pytest.raises(DatasetError, match=message) as raised:
        opened(labels)
    assert "labels.json: 1 problem:" in str(raised.value)


@pytest.mark.parametrize("key", ["id", "image_id", "category_id", "bbox"])
def test_a_missing_key_is_named(opened: Callable, labels: Any, key: str) -> None:
    del labels["annotations"][1][key]
    with pytest.raises(DatasetError, match=rf"entry 2 of `annotations`\) has no `{key}`"):
        opened(labels)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "it has no mask"),
        ([], "it has no mask"),
        (SQUARE, "not a list of polygons"),
        ([[1, 2, 3, 4]], "has 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "has 7 numbers"),
        ([[1, 2, 3, 4, 5, "x"]], "no number"),
        ([[1, 2, 3, 4, 5, 10**400]], "no number"),
        ([[1, 2, 3, 4, 5, float("nan")]], r"far beyond the image 'a\.png' of 40x30"),
        ([[1, 2, 3, 4, 5, 1e12]], r"far beyond the image 'a\.png' of 40x30"),
        (
            {"size": [40, 30], "counts": [1200]},
            r"run lengths are of 30x40 pixels, those of the image 'a\.png' of 40x30",
        ),
        ({"size": [30, 40], "counts": [1000]}, "add up to 1000 pixels"),
        ({"size": [30, 40], "counts": [-10, 1210]}, "neither a text nor a list of whole numbers"),
        ({"size": [30, 40], "counts": "abc"}, "malformed"),
        ({"size": [30, 40], "counts": "0"}, "malformed"),
        ({"size": [30, 40], "counts": ""}, "malformed"),
        ({"size": [30], "counts": [30]}, "height and width are expected"),
        ({"size": [30, 0], "counts": []}, "height and width are expected"),
    ],
)
def test_a_wrong_mask_is_refused_if_masks_are_wanted(
    opened: Callable, labels: Any, segmentation: Any, message: str
) -> None:
    labels["annotations"].append(annotation(9, segmentation=segmentation))
    assert len(opened(labels)) == 3
    with pytest.raises(DatasetError, match=f"annotation 9.*{message}"):
        opened(labels, masks=True)


def test_five_problems_are_shown_and_all_are_counted(opened: Callable, labels: Any) -> None:
    labels["annotations"] = [annotation(i, category_id=1) for i in range(10)]
    labels["annotations"] += [annotation(i, bbox=[0, 0, -1, 1]) for i in range(20, 24)]
    with pytest.raises(DatasetError, match="14 problems, the first 5:") as raised:
        opened(labels)
    assert str(raised.value).count("\n  - ") == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "image id 7 is given twice"),
        ({"width": 0}, "its size is 0x30"),
        ({"width": None}, "`width` is None"),
        ({"file_name": None}, "`file_name` is None"),
    ],
)
def test_a_wrong_image_entry_is_refused(opened: Callable, labels: Any, change: dict[str, Any], message: str) -> None:
    labels["images"].append({"id": 20, "file_name": "d.png", "width": 40, "height": 30, **change})
    with pytest.raises(DatasetError, match=message):
        opened(labels)


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ({"id": 5, "name": "cow"}, "the id 5 was given before, to 'cat'"),
        ({"id": 6, "name": "cat"}, "another category has the name 'cat' too"),
        ({"id": 6}, "category 6 .* has no `name`"),
    ],
)
def test_ambiguous_categories_are_refused(opened: Callable, labels: Any, category: Any, message: str) -> None:
    labels["categories"].append(category)
    with pytest.raises(DatasetError, match=message):
        opened(labels)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_missing_or_empty_list_is_named(opened: Callable, labels: Any, key: str) -> None:
    with pytest.raises(DatasetError, match=rf"labels\.json cannot be used: `{key}` is empty"):
        opened({**labels, key: []})
    del labels[key]
    with pytest.raises(DatasetError, match=rf"labels\.json cannot be used: it has no `{key}`"):
        opened(labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it ends too early"),
        (b"  \n", "it ends too early"),
        (b"[]", "line 1, character 1 of the file: `{` is expected"),
        (b'{"images": [{"id": 1}', "it ends too early"),
        (b'{"images": [{"id": 1}\n {"id": 2}]}', r"line 2, character 24 of the file: `\]` is expected"),
        (b'{"images": [{"id": 1,}]}', "line 1, character 22"),
        (b'{"images" [1]}', "character 11 of the file: `:` is expected"),
        (b'{"images": []} more', "the end of the file is expected"),
        (b'{"images": "\xff"}', "not text in UTF-8"),
        (b"{5: 1}", "a key in quotes is expected"),
        (b'{"images": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_refused_with_the_place(opened: Callable, content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"labels\.json are not valid JSON: .*{message}"):
        opened(content)


def test_a_truncated_file_is_refused_wherever_it_ends(opened: Callable, labels: Any) -> None:
    content = json.dumps(labels).encode()
    for length in range(0, len(content), 7):
        with pytest.raises(DatasetError, match="not valid JSON"):
            opened(content[:length])


def test_a_missing_file_of_labels_is_refused_by_name(images: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.json"):
        CocoSamples({"train": (images, "nowhere.json")}, 3, masks=False)


def test_a_missing_image_is_refused_by_name_when_it_is_read(opened: Callable, labels: Any, images: Path) -> None:
    (images / "b.png").unlink()
    samples = opened(labels)
    assert samples.picture(0).shape == (30, 40, 3)
    with pytest.raises(DatasetError, match=r"b\.png"):
        samples.picture(1)


def test_an_image_of_another_size_than_its_labels_is_refused(opened: Callable, labels: Any, write_image: Any) -> None:
    labels["images"][0].update(width=50)
    with pytest.raises(DatasetError, match=r"a\.png is 40x30 pixels, its labels are for 50x30"):
        opened(labels).picture(0)


def test_an_image_that_was_labelled_lying_is_refused_with_the_likely_cause(
    opened: Callable, labels: Any, images: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(images / "a.png", exif=exif)
    with pytest.raises(DatasetError, match=r"a\.png is 30x40 pixels, its labels are for 40x30 .*EXIF orientation"):
        opened(labels).picture(0)


@pytest.fixture
def divided(images: Path, tmp_path: Path, labels: Any) -> dict[str, tuple[Path, Path]]:
    """The same images as training and as test part."""
    for name in ("train.json", "test.json"):
        (tmp_path / name).write_text(json.dumps(labels))
    return {name: (images, tmp_path / f"{name}.json") for name in ("train", "test")}


def test_several_files_are_parts_one_after_the_other(divided: Any, labels: Any) -> None:
    labels["images"] = labels["images"][2:]
    labels["annotations"] = labels["annotations"][:1]
    divided["test"][1].write_text(json.dumps(labels))
    samples = CocoSamples(divided, 3, masks=True)
    assert {name: list(part) for name, part in (samples.parts or {}).items()} == {"train": [0, 1, 2], "test": [3]}
    assert samples.truth(3).boxes.tolist() == [[1, 2, 4, 6]]
    assert np.array_equal(samples.picture(3), samples.picture(2))


@pytest.mark.parametrize("change", [{"name": "wolf"}, {"id": 91}])
def test_parts_with_other_categories_are_refused(divided: Any, labels: Any, change: dict[str, Any]) -> None:
    labels["categories"][0].update(change)
    labels["annotations"] = labels["annotations"][1:]
    divided["test"][1].write_text(json.dumps(labels))
    with pytest.raises(DatasetError, match=r"train\.json and .*test\.json differ in .*90 \(dog\)"):
        CocoSamples(divided, 3, masks=False)


def test_the_hash_changes_with_an_image_a_box_a_class_and_a_mask(opened: Callable, labels: Any, images: Path) -> None:
    hashes = {opened(labels, masks=True).content_hash()}
    labels["annotations"][0]["bbox"][0] = 2
    hashes.add(opened(labels, masks=True).content_hash())
    labels["annotations"][0]["category_id"] = 5
    hashes.add(opened(labels, masks=True).content_hash())
    labels["annotations"][0]["segmentation"][0][0] = 11
    hashes.add(opened(labels, masks=True).content_hash())
    labels["categories"][0]["name"] = "wolf"
    hashes.add(opened(labels, masks=True).content_hash())
    (images / "a.png").write_bytes((images / "a.png").read_bytes() + b"\0")
    hashes.add(opened(labels, masks=True).content_hash())
    assert len(hashes) == 6


def test_the_hash_stays_when_the_dataset_is_moved(opened: Callable, labels: Any, images: Path, tmp_path: Path) -> None:
    before = opened(labels)
    images.rename(tmp_path / "elsewhere")
    moved = CocoSamples({"train": (tmp_path / "elsewhere", tmp_path / "labels.json")}, 3, masks=False)
    with pytest.raises(DatasetError, match=r"a\.png"):
        before.content_hash()
    (tmp_path / "elsewhere").rename(images)
    expected = before.content_hash()
    images.rename(tmp_path / "elsewhere")
    assert moved.content_hash() == expected


def test_samples_can_be_pickled(opened: Callable, labels: Any) -> None:
    samples = opened(labels, masks=True)
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.truth(2).dense_masks(), samples.truth(2).dense_masks())
    assert np.array_equal(copy.picture(0), samples.picture(0))


def test_a_file_larger_than_a_block_is_read_whole(opened: Callable, labels: Any, monkeypatch: Any) -> None:
    from edge_pipeline.datasets import json_stream

    expected = opened(labels, masks=True).content_hash()
    for block in (1, 2, 3, 7, 50):
        monkeypatch.setattr(json_stream, "_BLOCK", block)
        assert opened(labels, masks=True).content_hash() == expected
