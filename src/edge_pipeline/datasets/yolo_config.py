"""The data.yaml of Ultralytics' layout: names of the classes, and the images of each part."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets import files
from edge_pipeline.datasets.pictures import SUFFIXES
from edge_pipeline.datasets.problems import some

_PARTS = {"train": "train", "val": "validation", "test": "test"}


def read_config(place: str) -> tuple[tuple[str, ...], str, dict[str, list[str]]]:
    """Return the names of the classes, the dataset's folder, and the locations of the images of each part.

    Raises:
        DatasetError: the file cannot be read, a key is missing or wrong, or a folder is not there or empty.
    """
    config = _load(place)
    names = _names(place, config)
    root = _root(place, config)
    parts = {
        part: _images(place, key, root, config[key])
        for key, part in _PARTS.items()
        if config.get(key) not in (None, "")
    }
    if not parts:
        raise DatasetError(f"{place} names no images: set `train`, `val` and `test` to folders of images")
    _check_disjoint(place, parts)
    return names, root, parts


def read_names(place: str) -> tuple[str, ...]:
    """Return the names of the classes alone.

    Raises:
        DatasetError: the file cannot be read, or its `names` are wrong.
    """
    return _names(place, _load(place))


def _load(place: str) -> Mapping[str, Any]:
    try:
        with files.open_file(place) as file:
            config = yaml.safe_load(file.read())
    except OSError as error:
        raise DatasetError(f"cannot read {place}: {error}. Correct `dataset.path` in models.yml.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{place} is not valid YAML: {error}") from error
    if not isinstance(config, dict):
        raise DatasetError(f"{place} does not hold keys with values; `train`, `val` and `names` are expected")
    return config


def _names(place: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    given = config.get("names")
    if isinstance(given, dict):
        if set(given) != set(range(len(given))):
            raise DatasetError(
                f"`names` in {place} has the keys {some(given)}; whole numbers from 0 without a gap are expected"
            )
        given = [given[number] for number in range(len(given))]
    if not isinstance(given, list) or not given:
        raise DatasetError(
            f"`names` in {place} is {given!r}; a list of class names, or numbers with names, is expected"
        )
    if config.get("nc", len(given)) != len(given):
        raise DatasetError(f"{place} has {len(given)} `names`, but `nc` is {config['nc']}. Correct one of them.")
    return tuple(str(name) for name in given)


def _root(place: str, config: Mapping[str, Any]) -> str:
    folder = files.parent(place)
    if not config.get("path"):
        return folder
    given = files.location(str(config["path"]))
    beside = _below(folder, given)
    for root in (beside, given):
        if files.is_folder(root):
            return root
    raise DatasetError(f"`path` in {place} is '{given}', but there is no folder {beside}. Correct it, or leave it out.")


def _images(place: str, key: str, root: str, value: Any) -> list[str]:
    """Return the images of a part: those of a folder, of a list in a text file, or of several of these."""
    if isinstance(value, list):
        return [image for one in value for image in _images(place, key, root, one)]
    given = files.location(str(value))
    choices = [_below(root, given), _below(root, given.removeprefix("../"))]
    for source in choices:
        if given.endswith(".txt") and files.is_file(source):
            found = _listed(source)
        elif files.is_folder(source):
            found = [files.join(source, name) for name in files.tree(source, SUFFIXES)]
        else:
            continue
        if not found:
            raise DatasetError(f"`{key}` in {place}: no images in {source}")
        return found
    raise DatasetError(
        f"`{key}` in {place} is '{value}', but there is no folder (or .txt file that lists images) {choices[0]}"
    )


def _listed(source: str) -> list[str]:
    folder = files.parent(source)
    with files.open_file(source) as file:
        lines = file.read().decode().splitlines()
    return [_below(folder, line.strip().removeprefix("./")) for line in lines if line.strip()]


def _below(folder: str, given: str) -> str:
    absolute = files.is_remote(given) or PurePosixPath(given).is_absolute()
    return given if absolute else files.join(folder, given)


def _check_disjoint(place: str, parts: Mapping[str, list[str]]) -> None:
    seen: dict[str, str] = {}
    for part, images in parts.items():
        both = [image for image in images if seen.setdefault(image, part) != part]
        if both:
            raise DatasetError(
                f"{place}: {len(both)} images are in the {seen[both[0]]} and the {part} part, for example {both[0]}. "
                "What was trained on proves nothing: give each part images of its own, or name only `train`, and the "
                "other parts are cut from it."
            )
