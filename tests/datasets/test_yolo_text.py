import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.yolo_text import YoloSamples

WriteImage = Callable[..., Path]
TRIANGLE = "1 0.25 0.2 0.75 0.2 0.75 0.8"


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two training images and one of validation, each 40x20, with a box, a polygon and nothing."""
    for name in ("train/b.png", "train/a.jpg", "val/c.png"):
        write_image(tmp_path / "data" / "images" / name, size=(40, 20))
    put(tmp_path / "data", "train/a", "0 0.5 0.5 0.5 0.2\n\n" + TRIANGLE + "\n")
    put(tmp_path / "data", "train/b", "")
    configure(tmp_path / "data")
    return tmp_path / "data"


def put(root: Path, name: str, lines: str) -> Path:
    path = root / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines)
    return path


def configure(root: Path, **changes: Any) -> Path:
    keys = {"path": ".", "train": "images/train", "val": "images/val", "names": ["cat", "dog"], **changes}
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in keys.items() if value is not None}))
    return path


def opened(root: Path, *, masks: bool = False) -> YoloSamples:
    return YoloSamples(root / "data.yaml", 3, masks=masks)


def parts(samples: YoloSamples) -> Any:
    return samples.parts and {name: list(indices) for name, indices in samples.parts.items()}


def test_images_of_the_parts_follow_each_other_in_alphabetical_order(root: Path) -> None:
    samples = opened(root)
    assert samples.classes == ("cat", "dog")
    assert samples.labels is None
    assert parts(samples) == {"train": [0, 1], "validation": [2]}
    expected = np.asarray(Image.open(root / "images" / "train" / "b.png").convert("RGB"))
    assert np.array_equal(samples.picture(1), expected)


def test_shares_become_pixels_of_the_picture(root: Path) -> None:
    found = opened(root).truth(0)
    assert found.size == (20, 40)
    assert found.classes.tolist() == [0, 1]
    assert found.boxes == pytest.approx(np.asarray([[10, 8, 30, 12], [10, 4, 30, 16]]))
    assert found.masks is None


def test_boxes_belong_to_the_picture_as_it_is_seen(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(root / "images" / "train" / "a.jpg", exif=exif)
    found = opened(root).truth(0)
    assert found.size == opened(root).picture(0).shape[:2] == (40, 20)
    assert found.boxes[0] == pytest.approx(np.asarray([5, 16, 15, 24]))


@pytest.mark.parametrize("name", ["train/b", "val/c"])
def test_an_empty_or_missing_label_file_is_a_background_image(root: Path, name: str) -> None:
    index = {"train/b": 1, "val/c": 2}[name]
    assert len(opened(root).truth(index)) == 0


def test_polygons_are_masks(root: Path) -> None:
    put(root, "train/a", "1 0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.8")
    dense = opened(root, masks=True).truth(0).dense_masks()
    expected = np.zeros((1, 20, 40), bool)
    expected[0, 4:16, 10:30] = True
    assert np.array_equal(dense, expected)
    assert opened(root, masks=True).truth(1).dense_masks().shape == (0, 20, 40)


def test_a_box_is_refused_where_masks_are_wanted(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.txt, line 1: a box; expected is a polygon"):
        opened(root, masks=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2; the 2 classes in data.yaml are counted from 0"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "class nan"),
        ("0 1.2 0.5 0.1 0.1", "the coordinate 1.2; shares of the image's width and height, 0 to 1"),
        ("0 20 10 5 5", "the coordinate 20; shares"),
        ("0 nan 0.5 0.1 0.1", "the coordinate nan"),
        ("0 0.5 0.5 inf 0.1", "the coordinate inf"),
        ("0 0.5 0.5 0 0.1", "the object has no area"),
        ("0 0.02 0.5 0.1 0.1", "the box x -0.03 to 0.07, y 0.45 to 0.55 leaves 0 to 1"),
        ("0 0.5 0.5 0.1", "numbers: 4; expected are `class cx cy w h`"),
        ("0 0.5 0.5 0.1 0.1 0.9", "numbers: 6; expected are `class cx cy w h`"),
        ("0 0.5 0.5 0.1 0.1 0.9 0.9 0.9", "numbers: 8;"),
        ("0", "numbers: 1;"),
        ("0 0.5 0.5 0.5 0.7 0.5 0.6", "the object has no area"),
        ("cat 0.5 0.5 0.1 0.1", "'cat 0.5 0.5 0.1 0.1' holds something that is no number"),
        ("0,0.5,0.5,0.1,0.1", "'0,0.5,0.5,0.1,0.1' holds something that is no number"),
    ],
)
def test_a_wrong_line_is_refused_by_file_and_number(root: Path, line: str, message: str) -> None:
    path = put(root, "val/c", f"0 0.5 0.5 0.1 0.1\n\n{line}\n")
    with pytest.raises(DatasetError) as raised:
        opened(root)
    assert f"{path}, line 3: {message}" in str(raised.value)


def test_a_file_that_is_no_text_is_refused_by_name(root: Path) -> None:
    (root / "labels" / "train" / "b.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(DatasetError, match=r"b\.txt, line 1"):
        opened(root)


def test_five_problems_are_shown_and_all_are_counted(root: Path) -> None:
    put(root, "train/b", "0 2 2 2 2\n" * 30)
    with pytest.raises(DatasetError, match="30 problems, the first 5:") as raised:
        opened(root)
    assert str(raised.value).count("\n  - ") == 5


def test_rounding_beyond_the_image_is_clipped(root: Path) -> None:
    put(root, "train/a", "0 0.5 0.5 1.0008 1.0009\n1 -0.0009 0 1.0009 0 1 1")
    assert opened(root).truth(0).boxes.tolist() == [[0, 0, 40, 20], [0, 0, 40, 20]]


def test_a_dataset_without_any_label_file_is_refused_with_the_place(root: Path) -> None:
    (root / "labels").rename(root / "label")
    with pytest.raises(DatasetError, match="none of the 3 images has a label file") as raised:
        opened(root)
    assert str(root / "labels" / "train" / "a.txt") in str(raised.value)


def test_names_may_be_numbered(root: Path) -> None:
    configure(root, names={1: "dog", 0: "cat"})
    assert opened(root).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": {0: "cat", 2: "dog"}}, "has the keys 0, 2; whole numbers from 0 without a gap"),
        ({"names": None}, "`names` in .* is None"),
        ({"names": []}, r"`names` in .* is \[\]"),
        ({"nc": 3}, "has 2 `names`, but `nc` is 3"),
        ({"train": "images/trian"}, "`train` in .* is 'images/trian', but there is no folder .*/images/trian"),
        ({"train": "labels/train"}, "no images in .*/labels/train"),
        ({"path": "nowhere"}, "`path` in .* is 'nowhere', but there is no folder"),
        ({"train": None, "val": None}, "names no images"),
        ({"val": "images/train"}, "2 images are in the train and the validation part, for example .*train/a.jpg"),
    ],
)
def test_a_wrong_data_yaml_is_refused(root: Path, changes: dict[str, Any], message: str) -> None:
    configure(root, **changes)
    with pytest.raises(DatasetError, match=message):
        opened(root)


@pytest.mark.parametrize("content", [b"", b"- a\n", b"train: [", b"\xff\xfe\x00"])
def test_a_file_that_is_no_mapping_is_refused(root: Path, content: bytes) -> None:
    (root / "data.yaml").write_bytes(content)
    with pytest.raises(DatasetError, match=r"data\.yaml"):
        opened(root)


def test_a_missing_data_yaml_is_refused_with_the_key_to_correct(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"data\.yaml: .*Correct `dataset.path` in models.yml"):
        opened(tmp_path)


@pytest.mark.parametrize("path", [None, "absolute", "../data"])
def test_the_folder_may_be_given_in_several_ways(root: Path, path: str | None) -> None:
    configure(root, path=str(root) if path == "absolute" else path)
    assert len(opened(root)) == 3


def test_the_folder_may_start_at_the_current_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "conf").mkdir()
    (root / "data.yaml").rename(root / "conf" / "data.yaml")
    configure(root / "conf", path="data")
    monkeypatch.chdir(root.parent)
    assert len(opened(root / "conf")) == 3


def test_parts_above_the_folder_that_are_in_it_are_found(root: Path) -> None:
    configure(root, path=None, train="../images/train", val="../images/val")
    assert len(opened(root)) == 3


def test_a_part_may_be_a_list_of_images_in_a_text_file_or_several_folders(root: Path) -> None:
    (root / "val.txt").write_text("./images/val/c.png\n\n")
    configure(root, val="val.txt")
    assert parts(opened(root)) == {"train": [0, 1], "validation": [2]}
    configure(root, train=["images/train", "images/val"], val=None)
    samples = opened(root)
    assert (len(samples), samples.parts) == (3, None)


def test_an_image_of_a_list_that_is_missing_is_refused_when_it_is_read(root: Path) -> None:
    (root / "val.txt").write_text("images/val/c.png\nimages/val/d.png\n")
    configure(root, val="val.txt")
    samples = opened(root)
    for read in (samples.picture, samples.truth):
        with pytest.raises(DatasetError, match=r"d\.png"):
            read(3)


def test_only_the_last_folder_images_of_a_path_becomes_labels(tmp_path: Path, root: Path) -> None:
    deep = tmp_path / "images" / "data"
    deep.parent.mkdir()
    root.rename(deep)
    assert len(opened(deep).truth(0)) == 2


def test_the_hash_changes_with_an_image_a_box_and_a_name_but_not_with_the_place(root: Path, tmp_path: Path) -> None:
    first = opened(root).content_hash()
    root.rename(tmp_path / "moved")
    root = tmp_path / "moved"
    assert opened(root).content_hash() == first
    hashes = {first}
    put(root, "train/b", "0 0.5 0.5 0.1 0.1")
    hashes.add(opened(root).content_hash())
    configure(root, names=["cat", "cow"])
    hashes.add(opened(root).content_hash())
    path = root / "images" / "train" / "b.png"
    path.write_bytes(path.read_bytes() + b"\0")
    hashes.add(opened(root).content_hash())
    assert len(hashes) == 4


def test_samples_can_be_pickled(root: Path) -> None:
    put(root, "train/a", TRIANGLE)
    samples = opened(root, masks=True)
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.truth(0).dense_masks(), samples.truth(0).dense_masks())
    assert np.array_equal(copy.picture(2), samples.picture(2))
