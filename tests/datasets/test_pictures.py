import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.pictures import load_picture, picture_size, read_picture

FORMATS = ("png", "jpg", "bmp", "webp", "tif")
ORIENTATION = 0x0112


@pytest.fixture
def noise() -> Any:
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes, channels: int = 3) -> Any:
    return read_picture(io.BytesIO(content), "x", channels)


def test_a_colour_picture_comes_as_it_is(noise: Any) -> None:
    found = read(encoded(Image.fromarray(noise), "PNG"))
    assert found.dtype == np.uint8
    assert found.flags["C_CONTIGUOUS"]
    assert np.array_equal(found, noise)


def test_grey_becomes_three_equal_channels_and_colour_one(noise: Any) -> None:
    grey = encoded(Image.fromarray(noise[:, :, 0]), "PNG")
    assert np.array_equal(read(grey, 1), noise[:, :, :1])
    assert np.array_equal(read(grey, 3), np.repeat(noise[:, :, :1], 3, 2))
    assert read(encoded(Image.new("RGB", (4, 2), (102, 102, 102)), "PNG"), 1).tolist() == [[[102]] * 4] * 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_upright_and_its_size_is_known_beforehand(tmp_path: Path, kind: str, orientation: int) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = (255, 0, 0)
    pixels[:8, 16:] = (0, 255, 0)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "x"
    exact = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    path.write_bytes(encoded(picture, kind, exif=exif, **exact.get(kind, {})))
    picture.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture))
    found = load_picture(str(path), 3)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 10
    assert picture_size(str(path)) == found.shape[:2]


def test_the_orientation_of_a_png_may_follow_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(Image.new("RGB", (20, 10)), "PNG")
    chunk = b"eXIf" + exif.tobytes()[6:]
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path = tmp_path / "x.png"
    path.write_bytes(content[:-12] + late + content[-12:])
    assert load_picture(str(path), 3).shape[:2] == picture_size(str(path)) == (20, 10)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp"])
def test_the_size_of_a_picture_needs_no_pixels(tmp_path: Path, noise: Any, name: str) -> None:
    whole = tmp_path / name
    Image.fromarray(np.tile(noise, (20, 20, 1))).save(whole)
    half = tmp_path / f"half.{name}"
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert picture_size(str(whole)) == picture_size(str(half)) == (240, 400)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bit_grey_is_scaled_to_eight(kind: str, mode: str) -> None:
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype("<u2" if mode == "I;16" else ">u2")
    picture = Image.frombytes(mode, (8, 8), values.tobytes())
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    found = read(encoded(picture, kind, exif=exif), 1)
    assert np.abs(found[::-1, ::-1, 0] - values / 257).max() <= 1


def test_32_bit_grey_is_refused() -> None:
    content = encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF")
    with pytest.raises(DatasetError, match="grey values have 32 bits"):
        read(content)


def test_palettes_transparency_and_print_colours_become_rgb() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    palette, alpha = encoded(red.convert("P"), "PNG"), encoded(red.convert("RGBA"), "PNG")
    for content in (palette, alpha, encoded(red.convert("P"), "PNG", transparency=0)):
        assert read(content)[0, 0].tolist() == [255, 0, 0]
    assert np.abs(read(encoded(red.convert("CMYK"), "JPEG", quality=95))[0, 0] - [255.0, 0, 0]).max() < 20
    assert read(encoded(Image.new("LA", (4, 4), (99, 0)), "PNG"), 1)[0, 0].tolist() == [99]
    assert read(encoded(Image.new("1", (4, 4), 1), "PNG"))[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("name", [f"x.{ending}" for ending in FORMATS])
def test_a_truncated_picture_is_refused_by_name_wherever_it_ends(tmp_path: Path, noise: Any, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(np.tile(noise, (3, 3, 1))).save(path)
    whole = path.read_bytes()
    for share in (0, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DatasetError, match=r"cannot read the image .*Repair or remove the file") as raised:
            load_picture(str(path), 3)
        assert str(path) in str(raised.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_damaged_bytes_give_a_picture_or_an_error_of_the_dataset(tmp_path: Path, noise: Any, kind: str) -> None:
    whole = encoded(Image.fromarray(noise), kind)
    generator = np.random.default_rng(1)
    path = tmp_path / "x"
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for position in generator.integers(0, min(len(whole), 200), 3):
            content[position] = generator.integers(256)
        path.write_bytes(content)
        for use in (lambda: load_picture(str(path), 3), lambda: picture_size(str(path))):
            try:
                use()
            except DatasetError as error:
                refused += 1
                assert str(path) in str(error)
    assert refused


def test_a_picture_too_large_to_decode_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(path)
    with pytest.raises(DatasetError, match=r"bomb\.png"):
        load_picture(str(path), 1)


def test_a_missing_picture_is_refused_by_name(tmp_path: Path) -> None:
    for use in (lambda: load_picture(f"{tmp_path}/x.png", 1), lambda: picture_size(f"{tmp_path}/x.png")):
        with pytest.raises(DatasetError, match=r"x\.png: .*No such file"):
            use()
