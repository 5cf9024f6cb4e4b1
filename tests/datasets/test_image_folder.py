import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.base import open_dataset
from edge_pipeline.datasets.image_folder import ImageFolder
from edge_pipeline.datasets.spec import ImageFolderSpec

WriteImage = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two cats and a dog, 8x8 grey."""
    for name in ("dog/only.png", "cat/b.png", "cat/a.png"):
        write_image(tmp_path / "images" / name)
    return tmp_path / "images"


def grey(folder: Path) -> ImageFolder:
    return ImageFolder(folder, 1)


def test_classes_and_files_are_in_alphabetical_order(folder: Path, write_image: WriteImage) -> None:
    samples = grey(folder)
    assert samples.classes == ("cat", "dog")
    assert list(samples.labels) == [0, 0, 1]
    for index, name in enumerate(("cat/a.png", "cat/b.png", "dog/only.png")):
        assert np.array_equal(samples.picture(index)[:, :, 0], np.asarray(Image.open(folder / name)))
        assert samples.truth(index) == samples.labels[index]


def test_the_order_is_that_of_the_names_not_of_the_disk(tmp_path: Path) -> None:
    names = [f"{number:03}.png" for number in range(100)]
    (tmp_path / "a").mkdir()
    for grey_value, name in reversed(list(enumerate(names))):
        Image.new("L", (8, 8), grey_value).save(tmp_path / "a" / name)
    samples = grey(tmp_path)
    assert [samples.picture(index).max() for index in range(100)] == list(range(100))


def test_files_that_are_no_images_are_passed_over(folder: Path) -> None:
    (folder / "cat" / "notes.txt").write_text("not an image")
    (folder / "readme.png").write_bytes(b"beside the classes")
    assert len(grey(folder)) == 3


def test_images_in_deeper_folders_and_with_upper_case_endings_count(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "dog" / "2024" / "NEW.PNG")
    assert list(grey(folder).labels) == [0, 0, 1, 1]


def test_pictures_have_the_channels_asked_for_and_their_own_size(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "ant" / "big.png", size=(10, 6))
    assert grey(folder).picture(0).shape == (6, 10, 1)
    assert ImageFolder(folder, 3).picture(0).shape == (6, 10, 3)
    assert grey(folder).picture(1).shape == (8, 8, 1)


def test_a_picture_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    Image.new("L", (20, 10)).save(tmp_path / "a" / "x.jpg", exif=exif)
    assert grey(tmp_path).picture(0).shape == (20, 10, 1)


def test_a_broken_jpeg_is_refused_by_name_when_it_is_read_and_the_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for number in range(5):
        Image.fromarray(noise).save(tmp_path / "a" / f"{number}.jpg")
    broken = tmp_path / "a" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    samples = ImageFolder(tmp_path, 3)
    for index in (0, 1, 3, 4):
        assert samples.picture(index).shape == (32, 32, 3)
    with pytest.raises(DatasetError, match=r"cannot read the image .*Repair or remove the file") as raised:
        samples.picture(2)
    assert str(broken) in str(raised.value)


def test_a_missing_folder_is_refused_with_the_key_to_correct(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist\. Correct `dataset.path` in models.yml"):
        open_dataset(ImageFolderSpec(type="image_folder", path=str(tmp_path / "nowhere")), "classification", 1)


@pytest.mark.parametrize("folders", [[], ["cat", "dog"]])
def test_a_folder_without_images_is_refused(tmp_path: Path, folders: list[str]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match="no images in"):
        grey(tmp_path)


def test_the_hash_stays_the_same_when_the_folder_is_moved(folder: Path, tmp_path: Path) -> None:
    before = grey(folder).content_hash()
    shutil.copytree(folder, tmp_path / "copy")
    assert grey(tmp_path / "copy").content_hash() == before


def test_the_hash_changes_with_one_byte(folder: Path) -> None:
    before = grey(folder).content_hash()
    path = folder / "dog" / "only.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert grey(folder).content_hash() != before


def test_the_hash_changes_when_an_image_moves_to_another_class(folder: Path) -> None:
    before = grey(folder).content_hash()
    (folder / "cat" / "b.png").rename(folder / "dog" / "b.png")
    assert grey(folder).content_hash() != before


def test_the_hash_changes_when_an_image_is_removed(folder: Path) -> None:
    before = grey(folder).content_hash()
    (folder / "cat" / "b.png").unlink()
    assert grey(folder).content_hash() != before


def test_a_link_to_nowhere_is_refused_by_name_when_it_is_hashed(folder: Path) -> None:
    (folder / "cat" / "c.png").symlink_to("/nowhere.png")
    with pytest.raises(DatasetError, match=r"c\.png"):
        grey(folder).content_hash()


def test_bytes_that_move_from_one_file_to_the_next_change_the_hash(tmp_path: Path) -> None:
    contents = ((b"1c/b.png\0", b"2"), (b"1", b"c/b.png\x002"))
    for name, pair in zip("xy", contents, strict=True):
        (tmp_path / name / "c").mkdir(parents=True)
        for file, content in zip(("a.png", "b.png"), pair, strict=True):
            (tmp_path / name / "c" / file).write_bytes(content)
    assert grey(tmp_path / "x").content_hash() != grey(tmp_path / "y").content_hash()


def test_a_hidden_folder_is_no_class(folder: Path) -> None:
    (folder / ".ipynb_checkpoints").mkdir()
    assert grey(folder).classes == ("cat", "dog")


def test_hidden_files_are_no_images(folder: Path) -> None:
    (folder / "cat" / "._a.png").write_bytes(b"left behind by a Mac")
    assert len(grey(folder)) == 3


@pytest.fixture
def divided(tmp_path: Path, write_image: WriteImage) -> Path:
    for name in ("train/cat/a.png", "train/cat/b.png", "train/dog/a.png", "val/cat/a.png", "val/dog/a.png"):
        write_image(tmp_path / "divided" / name)
    return tmp_path / "divided"


def parts(samples: ImageFolder) -> dict[str, list[int]] | None:
    return samples.parts and {name: list(indices) for name, indices in samples.parts.items()}


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_of_parts_divide_the_dataset(divided: Path, name: str) -> None:
    (divided / "val").rename(divided / name)
    samples = grey(divided)
    assert samples.classes == ("cat", "dog")
    assert list(samples.labels) == [0, 0, 1, 0, 1]
    assert parts(samples) == {"train": [0, 1, 2], "validation": [3, 4]}
    last = Image.open(divided / name / "dog" / "a.png")
    assert np.array_equal(samples.picture(4)[:, :, 0], np.asarray(last))


def test_a_test_folder_is_a_part_if_it_has_class_folders(divided: Path, write_image: WriteImage) -> None:
    write_image(divided / "test" / "unlabelled.png")
    assert set(grey(divided).parts or ()) == {"train", "validation"}
    write_image(divided / "test" / "dog" / "x.png")
    assert parts(grey(divided)) == {"train": [0, 1, 2], "validation": [3, 4], "test": [5]}


def test_train_and_test_folders_are_no_classes(divided: Path) -> None:
    (divided / "val").rename(divided / "test")
    samples = grey(divided)
    assert samples.classes == ("cat", "dog")
    assert parts(samples) == {"train": [0, 1, 2], "test": [3, 4]}


def test_a_folder_without_parts_has_none(folder: Path) -> None:
    assert grey(folder).parts is None


def test_a_class_that_was_not_trained_is_refused_with_the_closest_one(divided: Path, write_image: WriteImage) -> None:
    write_image(divided / "val" / "dogs" / "x.png")
    with pytest.raises(DatasetError, match=r"val has the class folder 'dogs'.*did you mean 'dog'\?"):
        grey(divided)


def test_two_validation_folders_are_refused(divided: Path) -> None:
    shutil.copytree(divided / "val", divided / "valid")
    with pytest.raises(DatasetError, match="val and valid"):
        grey(divided)


def test_a_part_without_images_is_refused(divided: Path) -> None:
    for path in (divided / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"no images in .*val"):
        grey(divided)


def test_samples_can_be_pickled(divided: Path) -> None:
    samples = grey(divided)
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.picture(3), samples.picture(3))
    assert (copy.classes, copy.labels, parts(copy)) == (samples.classes, samples.labels, parts(samples))


def test_many_files_are_listed_quickly(tmp_path: Path) -> None:
    for label in range(20):
        (tmp_path / f"{label:02}").mkdir()
        for number in range(250):
            (tmp_path / f"{label:02}" / f"{number}.jpg").touch()
    start = time.perf_counter()
    assert len(grey(tmp_path)) == 5000
    assert time.perf_counter() - start < 1
