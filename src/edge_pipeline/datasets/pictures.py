"""Read picture files: upright, 8 bits, grey or RGB."""

from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets.files import open_file

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
"""Endings of the files that count as pictures, in lower case."""

_LYING = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


def read_picture(file: IO[bytes], name: str, channels: int) -> Picture:
    """Return the picture in an open file as uint8 (height, width, channels), upright as its EXIF orientation says.

    Transparency is dropped, 16-bit grey values are scaled to 8 bits.

    Args:
        file: open for reading.
        name: where it is, for messages.
        channels: 1 for grey, 3 for red, green, blue.

    Raises:
        DatasetError: it is no picture, damaged, truncated or too large to decode.
    """
    try:
        with Image.open(file) as opened:
            upright = _eight_bit(ImageOps.exif_transpose(opened))
            pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise _unreadable(name, error) from error
    return np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], channels))


def load_picture(place: str, channels: int) -> Picture:
    """Return the picture file at a location (see `datasets.files`) as `read_picture` does.

    Raises:
        DatasetError: the file is not there or cannot be read.
    """
    try:
        with open_file(place) as file:
            return read_picture(file, place, channels)
    except OSError as error:
        raise _unreadable(place, error) from error


def picture_size(place: str) -> tuple[int, int]:
    """Return (height, width) of the picture file at a location, upright. The pixels are not decoded.

    Raises:
        DatasetError: the file is not there or is no picture.
    """
    try:
        with open_file(place) as file:
            return _header_size(file)
    except DatasetError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise _unreadable(place, error) from error


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Bring 16-bit grey values to 8 bits, which Pillow would clip at 255.

    Raises:
        ValueError: grey values of an unknown range.
    """
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture, np.uint32) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its grey values have 32 bits, 8 or 16 are expected")
    return picture


def _header_size(file: IO[bytes]) -> tuple[int, int]:
    with Image.open(file) as opened:
        width, height = opened.size
        if opened.format == "TIFF":  # Pillow has turned it already
            return height, width
        if opened.format == "PNG" and "exif" not in opened.info and not _metadata_follows_pixels(file):
            exif = Image.Image.getexif(opened)  # that of PngImageFile decodes the pixels to look behind them
        else:
            exif = opened.getexif()
        return (width, height) if exif.get(ExifTags.Base.Orientation) in _LYING else (height, width)


def _metadata_follows_pixels(file: IO[bytes]) -> bool:
    """Tell whether a PNG file has EXIF or text chunks behind its pixels. The position in the file stays."""
    start, position, pixels_seen, found = file.tell(), 8, False, False
    file.seek(position)
    while not found and len(header := file.read(8)) == 8:
        pixels_seen = pixels_seen or header[4:] == b"IDAT"
        found = pixels_seen and header[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
        position += 12 + int.from_bytes(header[:4], "big")
        file.seek(position)
    file.seek(start)
    return found


def _unreadable(name: str, error: Exception) -> DatasetError:
    return DatasetError(f"cannot read the image {name}: {error}. Repair or remove the file.")
