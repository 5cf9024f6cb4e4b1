import io
import shutil
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
FORMATS = ("png", "jpg", "bmp", "webp", "tif")


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two cats and a dog, 8x8 grey."""
    for name in ("dog/only.png", "cat/b.png", "cat/a.png"):
        write_image(tmp_path / "images" / name)
    return tmp_path / "images"


def grey(folder: Path, *, resize: bool = False) -> ImageFolder:
    return ImageFolder(folder, (1, 8, 8), resize=resize)


def test_classes_and_files_are_in_alphabetical_order(folder: Path, write_image: WriteImage) -> None:
    samples = grey(folder)
    assert samples.classes == ("cat", "dog")
    assert list(samples.labels) == [0, 0, 1]
    for index, name in enumerate(("cat/a.png", "cat/b.png", "dog/only.png")):
        pixels = np.asarray(Image.open(folder / name), np.float32) / 255
        assert np.array_equal(samples.image(index), pixels[None])


def test_the_order_is_that_of_the_names_not_of_the_disk(tmp_path: Path) -> None:
    names = [f"{number:03}.png" for number in range(100)]
    (tmp_path / "a").mkdir()
    for grey_value, name in reversed(list(enumerate(names))):
        Image.new("L", (8, 8), grey_value).save(tmp_path / "a" / name)
    samples = grey(tmp_path)
    assert [round(255 * samples.image(index).max()) for index in range(100)] == list(range(100))


def test_files_that_are_no_images_are_passed_over(folder: Path) -> None:
    (folder / "cat" / "notes.txt").write_text("not an image")
    (folder / "readme.png").write_bytes(b"beside the classes")
    assert len(grey(folder)) == 3


def test_images_in_deeper_folders_and_with_upper_case_endings_count(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "dog" / "2024" / "NEW.PNG")
    assert list(grey(folder).labels) == [0, 0, 1, 1]


def test_a_grey_image_has_one_channel_from_0_to_1(tmp_path: Path, write_image: WriteImage) -> None:
    pixels = [[0, 51], [102, 255]]
    write_image(tmp_path / "a" / "x.png", pixels)
    image = ImageFolder(tmp_path, (1, 2, 2), resize=False).image(0)
    assert image.dtype == np.float32
    assert image.shape == (1, 2, 2)
    assert image[0].flatten().tolist() == pytest.approx([0.0, 0.2, 0.4, 1.0])


def test_a_colour_image_has_its_channels_first_in_the_order_rgb(tmp_path: Path, write_image: WriteImage) -> None:
    pixels = np.zeros((2, 3, 3))
    pixels[..., 0], pixels[..., 2] = 255, 51
    write_image(tmp_path / "a" / "x.png", pixels)
    image = ImageFolder(tmp_path, (3, 2, 3), resize=False).image(0)
    assert image.shape == (3, 2, 3)
    assert [channel.mean() for channel in image] == pytest.approx([1.0, 0.0, 0.2])


def test_a_colour_image_is_turned_grey_for_a_grey_model(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "x.png", np.full((8, 8, 3), 102))
    assert grey(tmp_path).image(0) == pytest.approx(np.full((1, 8, 8), 0.4))


def test_a_grey_image_is_given_three_equal_channels_for_a_colour_model(folder: Path) -> None:
    image = ImageFolder(folder, (3, 8, 8), resize=False).image(0)
    assert np.array_equal(image, np.repeat(grey(folder).image(0), 3, 0))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_can_be_read(tmp_path: Path, write_image: WriteImage, ending: str) -> None:
    write_image(tmp_path / "a" / f"x.{ending}", np.full((8, 8, 3), 102))
    assert grey(tmp_path).image(0) == pytest.approx(np.full((1, 8, 8), 0.4), abs=0.01)


def test_an_image_of_another_size_is_refused_naming_file_sizes_and_the_way_out(
    folder: Path, write_image: WriteImage
) -> None:
    path = write_image(folder / "ant" / "big.png", size=(10, 6))
    with pytest.raises(DatasetError) as raised:
        grey(folder).image(0)
    for text in (str(path), "10x6 pixels", "takes 8x8", "resize: true"):
        assert text in str(raised.value)


def test_an_image_of_another_size_is_resized_if_asked(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "x.png", np.repeat([[0, 255]], 16, 0).repeat(8, 1))
    image = ImageFolder(tmp_path, (1, 4, 4), resize=True).image(0)
    assert image.shape == (1, 4, 4)
    assert (image[..., 0].max(), image[..., -1].min()) == (0.0, 1.0)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_truncated_image_is_refused_by_name_wherever_it_ends(tmp_path: Path, ending: str) -> None:
    whole = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(whole, Image.registered_extensions()[f".{ending}"])
    path = tmp_path / "a" / f"x.{ending}"
    path.parent.mkdir()
    for share in (0, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        with pytest.raises(DatasetError, match=r"cannot read the image .*Repair or remove the file") as raised:
            ImageFolder(tmp_path, (3, 32, 32), resize=False).image(0)
        assert str(path) in str(raised.value)


def test_an_unreadable_image_does_not_stop_the_others_from_being_read(folder: Path) -> None:
    (folder / "cat" / "a.png").write_bytes(b"no image at all")
    samples = grey(folder)
    assert len(samples) == 3
    assert samples.image(1).shape == (1, 8, 8)


def test_a_missing_folder_is_refused_with_the_key_to_correct(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist\. Correct `dataset.path` in models.yml"):
        open_dataset(ImageFolderSpec(type="image_folder", path=tmp_path / "nowhere"), (1, 8, 8))


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


def test_a_16_bit_image_keeps_its_grey_values_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pixels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a" / "x.png")
    try:
        image = grey(tmp_path).image(0)
    except DatasetError:
        return
    assert image[0] == pytest.approx(pixels / 65535, abs=0.01)


def test_an_image_too_large_to_decode_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a" / "x.png")
    with pytest.raises(DatasetError, match=r"x\.png"):
        ImageFolder(tmp_path, (1, 8, 8), resize=True).image(0)


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
