import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.coco import CocoSamples
from tests.datasets.coco_labels import SQUARE, annotation

WriteImage = Callable[..., Path]


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
    open_coco: Callable, coco_labels: Any, change: dict[str, Any], message: str
) -> None:
    coco_labels["annotations"].append(annotation(9, **change))
    with pytest.raises(DatasetError, match=message) as raised:
        open_coco(coco_labels)
    assert "labels.json: 1 problem:" in str(raised.value)


@pytest.mark.parametrize("key", ["id", "image_id", "category_id", "bbox"])
def test_a_missing_key_is_named(open_coco: Callable, coco_labels: Any, key: str) -> None:
    del coco_labels["annotations"][1][key]
    with pytest.raises(DatasetError, match=rf"entry 2 of `annotations`\) has no `{key}`"):
        open_coco(coco_labels)


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
    open_coco: Callable, coco_labels: Any, segmentation: Any, message: str
) -> None:
    coco_labels["annotations"].append(annotation(9, segmentation=segmentation))
    assert len(open_coco(coco_labels)) == 3
    with pytest.raises(DatasetError, match=f"annotation 9.*{message}"):
        open_coco(coco_labels, masks=True)


def test_five_problems_are_shown_and_all_are_counted(open_coco: Callable, coco_labels: Any) -> None:
    coco_labels["annotations"] = [annotation(i, category_id=1) for i in range(10)]
    coco_labels["annotations"] += [annotation(i, bbox=[0, 0, -1, 1]) for i in range(20, 24)]
    with pytest.raises(DatasetError, match="14 problems, the first 5:") as raised:
        open_coco(coco_labels)
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
def test_a_wrong_image_entry_is_refused(
    open_coco: Callable, coco_labels: Any, change: dict[str, Any], message: str
) -> None:
    coco_labels["images"].append({"id": 20, "file_name": "d.png", "width": 40, "height": 30, **change})
    with pytest.raises(DatasetError, match=message):
        open_coco(coco_labels)


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ({"id": 5, "name": "cow"}, "the id 5 was given before, to 'cat'"),
        ({"id": 6, "name": "cat"}, "another category has the name 'cat' too"),
        ({"id": 6}, "category 6 .* has no `name`"),
    ],
)
def test_ambiguous_categories_are_refused(open_coco: Callable, coco_labels: Any, category: Any, message: str) -> None:
    coco_labels["categories"].append(category)
    with pytest.raises(DatasetError, match=message):
        open_coco(coco_labels)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_missing_or_empty_list_is_named(open_coco: Callable, coco_labels: Any, key: str) -> None:
    with pytest.raises(DatasetError, match=rf"labels\.json cannot be used: `{key}` is empty"):
        open_coco({**coco_labels, key: []})
    del coco_labels[key]
    with pytest.raises(DatasetError, match=rf"labels\.json cannot be used: it has no `{key}`"):
        open_coco(coco_labels)


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
def test_malformed_json_is_refused_with_the_place(open_coco: Callable, content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"labels\.json are not valid JSON: .*{message}"):
        open_coco(content)


def test_a_truncated_file_is_refused_wherever_it_ends(open_coco: Callable, coco_labels: Any) -> None:
    content = json.dumps(coco_labels).encode()
    for length in range(0, len(content), 7):
        with pytest.raises(DatasetError, match="not valid JSON"):
            open_coco(content[:length])


def test_a_missing_file_of_labels_is_refused_by_name(coco_images: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.json"):
        CocoSamples({"train": (coco_images, "nowhere.json")}, 3, masks=False)


def test_a_missing_image_is_refused_by_name_when_it_is_read(
    open_coco: Callable, coco_labels: Any, coco_images: Path
) -> None:
    (coco_images / "b.png").unlink()
    samples = open_coco(coco_labels)
    assert samples.picture(0).shape == (30, 40, 3)
    with pytest.raises(DatasetError, match=r"b\.png"):
        samples.picture(1)


def test_an_image_of_another_size_than_its_labels_is_refused(
    open_coco: Callable, coco_labels: Any, write_image: Any
) -> None:
    coco_labels["images"][0].update(width=50)
    with pytest.raises(DatasetError, match=r"a\.png is 40x30 pixels, its labels are for 50x30"):
        open_coco(coco_labels).picture(0)


def test_an_image_that_was_labelled_lying_is_refused_with_the_likely_cause(
    open_coco: Callable, coco_labels: Any, coco_images: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(coco_images / "a.png", exif=exif)
    with pytest.raises(DatasetError, match=r"a\.png is 30x40 pixels, its labels are for 40x30 .*EXIF orientation"):
        open_coco(coco_labels).picture(0)
