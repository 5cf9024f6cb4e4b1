import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.cityscapes import CityscapesSamples

IDS = np.arange(34, dtype=np.uint8).reshape(2, 17)
CLASSES = (
    "road sidewalk building wall fence pole traffic_light traffic_sign vegetation terrain sky person rider car truck "
    "bus train motorcycle bicycle"
)


def put(root: Path, part: str, name: str, labels: Any, kind: str = "labelIds", size: Any = None) -> Path:
    """Write an image and its labels; the image has their size."""
    city = name.split("_")[0]
    image = root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png"
    label = root / "gtFine" / part / city / f"{name}_gtFine_{kind}.png"
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size or np.shape(labels)
    Image.new("RGB", (width, height), (10, 20, 30)).save(image)
    Image.fromarray(np.asarray(labels, np.uint8)).save(label)
    return label


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "city", "train", "ulm_000001_000019", IDS)
    put(tmp_path / "city", "train", "aachen_000000_000019", IDS[::-1])
    put(tmp_path / "city", "val", "bonn_000000_000019", IDS)
    return tmp_path / "city"


def parts(samples: CityscapesSamples) -> Any:
    return samples.parts and {name: list(indices) for name, indices in samples.parts.items()}


def test_parts_and_cities_are_in_order(root: Path) -> None:
    samples = CityscapesSamples(root, 3)
    assert parts(samples) == {"train": [0, 1], "validation": [2]}
    assert samples.picture(0).shape == (2, 17, 3)
    assert samples.picture(0)[0, 0].tolist() == [10, 20, 30]
    assert samples.truth(0)[1, 7] == 0
    assert samples.truth(1)[0, 7] == 0


def test_there_are_nineteen_classes(root: Path) -> None:
    assert CityscapesSamples(root, 3).classes == tuple(name.replace("_", " ") for name in CLASSES.split())


def test_label_ids_become_the_classes_that_are_trained(root: Path) -> None:
    found = CityscapesSamples(root, 3).truth(2).reshape(-1)
    assert found.dtype == np.uint8
    trained = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
    trained |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert found.tolist() == [trained.get(number, 255) for number in range(34)]


def test_train_ids_take_the_place_of_missing_label_ids(root: Path) -> None:
    path = put(root, "val", "bonn_000001_000019", [[0, 18, 255]], "labelTrainIds")
    assert CityscapesSamples(root, 3).truth(3).tolist() == [[0, 18, 255]]
    put(root, "val", "bonn_000001_000019", [[7, 8, 0]])
    assert CityscapesSamples(root, 3).truth(3).tolist() == [[0, 1, 255]]
    assert path.is_file()


@pytest.mark.parametrize(("kind", "value"), [("labelIds", 34), ("labelIds", 255), ("labelTrainIds", 19)])
def test_an_unknown_id_is_refused_with_the_file(root: Path, kind: str, value: int) -> None:
    path = put(root, "val", "bonn_000001_000019", [[1, value]], kind)
    with pytest.raises(DatasetError, match=f"holds the unknown id {value}; 0 to") as raised:
        CityscapesSamples(root, 3).truth(3)
    assert str(path) in str(raised.value)


def test_the_dummy_labels_of_the_public_test_set_are_no_part(root: Path) -> None:
    for number in range(20):
        put(root, "test", f"berlin_{number:06}_000019", [[0, 1, 2, 3]])
    assert parts(CityscapesSamples(root, 3)) == {"train": [0, 1], "validation": [2]}


def test_a_test_part_without_labels_is_none(root: Path) -> None:
    put(root, "test", "berlin_000000_000019", IDS).unlink()
    assert parts(CityscapesSamples(root, 3)) == {"train": [0, 1], "validation": [2]}


def test_a_test_part_with_labels_is_one(root: Path) -> None:
    put(root, "test", "berlin_000000_000019", IDS)
    assert parts(CityscapesSamples(root, 3)) == {"train": [0, 1], "validation": [2], "test": [3]}


def test_a_single_part_is_not_divided(root: Path) -> None:
    shutil.rmtree(root / "leftImg8bit" / "val")
    samples = CityscapesSamples(root, 3)
    assert (len(samples), samples.parts) == (2, None)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_label_map_is_refused_by_name(root: Path, part: str) -> None:
    put(root, part, "bonn_000002_000019", IDS)
    path = put(root, part, "bonn_000001_000019", IDS)
    path.unlink()
    with pytest.raises(DatasetError, match="has no label map") as raised:
        CityscapesSamples(root, 3)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_of_another_layout_is_refused_with_the_right_one(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(DatasetError, match=r"expected are leftImg8bit/\{train,val,test\}/<city>/\*_leftImg8bit\.png"):
        CityscapesSamples(folder, 3)


def test_a_label_map_of_another_size_is_refused(root: Path) -> None:
    put(root, "val", "bonn_000001_000019", IDS, size=(4, 34))
    with pytest.raises(DatasetError, match=r"labelIds\.png is 17x2 pixels, its image 34x4"):
        CityscapesSamples(root, 3).truth(3)


@pytest.mark.parametrize("content", ["truncated", "colours"])
def test_a_broken_label_map_is_refused_by_name(root: Path, content: str) -> None:
    path = put(root, "val", "bonn_000000_000019", IDS)
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        Image.new("RGB", (17, 2)).save(path)
    with pytest.raises(DatasetError, match="cannot read the label map") as raised:
        CityscapesSamples(root, 3).truth(2)
    assert str(path) in str(raised.value)


def test_the_hash_changes_with_an_image_and_with_a_label(root: Path, tmp_path: Path) -> None:
    first = CityscapesSamples(root, 3).content_hash()
    root.rename(tmp_path / "moved")
    root = tmp_path / "moved"
    assert CityscapesSamples(root, 3).content_hash() == first
    hashes = {first}
    for folder in ("leftImg8bit", "gtFine"):
        path = next((root / folder / "val").rglob("*.png"))
        path.write_bytes(path.read_bytes() + b"\0")
        hashes.add(CityscapesSamples(root, 3).content_hash())
    assert len(hashes) == 3


def test_samples_can_be_pickled(root: Path) -> None:
    samples = CityscapesSamples(root, 1)
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.truth(1), samples.truth(1))
    assert copy.picture(1).shape == (2, 17, 1)


def test_the_dataset_may_be_in_an_archive(root: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "city"), "zip", root)
    zipped = CityscapesSamples(f"zip://::{archive}", 3)
    assert zipped.content_hash() == CityscapesSamples(root, 3).content_hash()
