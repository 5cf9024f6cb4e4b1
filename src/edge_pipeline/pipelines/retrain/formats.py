"""The formats in which new samples arrive and are kept: image folder, YOLO text, COCO."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_pipeline.core.errors import DatasetError, RetrainError, suggest
from edge_pipeline.core.files import json_bytes, write_atomically
from edge_pipeline.datasets import files
from edge_pipeline.datasets.pictures import SUFFIXES
from edge_pipeline.pipelines.retrain.schedule import NewDataSpec

LARGEST_LABELS = 2**30
"""Bytes of a file of labels; more is refused before it is read."""


@dataclass(frozen=True)
class Candidate:
    """A picture that arrived: its path below the watched folder, its location, and its label as it came."""

    name: str
    place: str
    label: Any


@dataclass(frozen=True)
class Head:
    """What labels must fit: names of the classes, and whether masks are learnt."""

    classes: tuple[str, ...]
    masks: bool


@dataclass(frozen=True)
class Kept:
    """A good sample: the hash and ending of its picture's file, and its label as `Format.label` made it."""

    digest: str
    suffix: str
    label: str

    @property
    def file(self) -> str:
        """Name of the picture in a batch."""
        return f"{self.digest}{self.suffix}"


@dataclass(frozen=True)
class Format:
    """One format.

    `candidates` lists what arrived; `label` checks a label against the head and the picture's (height, width), and
    returns it as text, or raises `ValueError`; `put` writes a sample, with the content of its picture, into the folder
    of a batch, and `finish` what all samples share.
    """

    name: str
    candidates: Callable[[NewDataSpec, Head], Iterator[Candidate]]
    label: Callable[[Any, Head, tuple[int, int]], str]
    put: Callable[[Path, Kept, bytes], None]
    finish: Callable[[Path, Sequence[Kept], Head], None]


def format_of(dataset: Any) -> Format:
    """Return the format in which new samples of a dataset of models.yml arrive.

    Raises:
        DatasetError: datasets of this type take no new samples.
    """
    known = {"digits": FOLDER, "image_folder": FOLDER, "yolo": YOLO, "coco": COCO}
    if dataset.type not in known:
        raise DatasetError(
            f"a dataset of type '{dataset.type}' takes no new samples, only {', '.join(known)} do. Leave `new_data` "
            "and `drift` out of schedule.yml."
        )
    return known[dataset.type]


def _folder_candidates(where: NewDataSpec, head: Head) -> Iterator[Candidate]:
    root = _root(where.path)
    for name in files.tree(root, SUFFIXES):
        folder, slash, _ = name.partition("/")
        yield Candidate(name, files.join(root, name), folder if slash else None)


def _folder_label(label: str | None, head: Head, size: tuple[int, int]) -> str:
    if label is None:
        raise ValueError("it lies in no folder that names its class")
    if label not in head.classes:
        raise ValueError(f"its folder '{label}' is no class of the model; {suggest(label, head.classes)}")
    return label


def _folder_put(folder: Path, sample: Kept, content: bytes) -> None:
    write_atomically(folder / sample.label / sample.file, content)


def _folder_finish(folder: Path, samples: Sequence[Kept], head: Head) -> None:
    """Nothing is shared."""


def _yolo_candidates(where: NewDataSpec, head: Head) -> Iterator[Candidate]:
    from edge_pipeline.datasets.yolo_config import read_names
    from edge_pipeline.datasets.yolo_text import label_place

    given = files.location(where.path)
    root = _root(files.parent(given) if given.endswith((".yaml", ".yml")) else given)
    config = files.join(root, "data.yaml")
    if files.is_file(config) and read_names(config) != head.classes:
        raise DatasetError(
            f"`names` in {config} are {', '.join(read_names(config))}; the model's dataset has "
            f"{', '.join(head.classes)}. Numbers of classes would mean something else: correct the labels."
        )
    images = files.join(root, "images")
    if not files.is_folder(images):
        return
    for name in files.tree(images, SUFFIXES):
        place = files.join(images, name)
        yield Candidate(f"images/{name}", place, label_place(place))


def _yolo_label(place: str, head: Head, size: tuple[int, int]) -> str:
    from edge_pipeline.datasets.yolo_text import parse_line

    try:
        text = _read(place).decode()
    except FileNotFoundError:
        raise ValueError(f"it has no labels {place}; an empty file says that nothing is in the picture") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"its labels {place} cannot be read: {error}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            parse_line(line, len(head.classes), masks=head.masks)
        except ValueError as error:
            raise ValueError(f"line {number} of its labels: {error}") from None
    return "\n".join(lines)


def _yolo_put(folder: Path, sample: Kept, content: bytes) -> None:
    write_atomically(folder / "images" / sample.file, content)
    write_atomically(folder / "labels" / f"{sample.digest}.txt", sample.label.encode())


def _yolo_finish(folder: Path, samples: Sequence[Kept], head: Head) -> None:
    config = {"train": "images", "names": list(head.classes)}
    write_atomically(folder / "data.yaml", json.dumps(config, indent=1).encode())  # JSON is YAML too


def _coco_candidates(where: NewDataSpec, head: Head) -> Iterator[Candidate]:
    place = files.location(where.path)
    folder = files.location(where.images) if where.images else files.parent(place)
    try:
        content = json.loads(_read(place))
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        images = [(one["id"], str(one["file_name"]), one) for one in content["images"]]
        owned: dict[Any, list[Any]] = {number: [] for number, _, _ in images}
        for one in content.get("annotations", ()):
            owned.setdefault(one["image_id"], []).append({**one, "category": names.get(one["category_id"])})
    except OSError as error:
        raise DatasetError(f"cannot read {place}: {error}. Correct `new_data.path` in schedule.yml.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{place} is no COCO file of labels ({type(error).__name__}: {error})") from error
    for number, name, image in images:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield Candidate(name, "", None)
            continue
        yield Candidate(name, files.join(folder, name), {"image": image, "annotations": owned[number]})


def _coco_label(label: Mapping[str, Any] | None, head: Head, size: tuple[int, int]) -> str:
    from edge_pipeline.datasets.coco_file import read_coco

    if label is None:
        raise ValueError("its `file_name` leaves the folder of the images")
    image = label["image"]
    if (image.get("height"), image.get("width")) != size:
        raise ValueError(
            f"it is {size[1]}x{size[0]} pixels, its labels are for {image.get('width')}x{image.get('height')}"
        )
    annotations = []
    for one in label["annotations"]:
        if one["category"] not in head.classes:
            name = str(one["category"])
            raise ValueError(f"its class '{name}' is none of the model's; {suggest(name, head.classes)}")
        kept = {key: one[key] for key in ("bbox", "segmentation", "area", "iscrowd") if key in one}
        annotations.append({**kept, "category_id": head.classes.index(one["category"]) + 1})
    if not annotations:  # nothing is in the picture; a file of labels without any is none
        return json_bytes({"size": size, "annotations": []}).decode()
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "labels.json"
        alone.write_bytes(json_bytes(_coco_file([("x.png", size, annotations)], head)))
        try:
            read_coco(str(alone), masks=head.masks)
        except DatasetError as error:
            raise ValueError(str(error).replace(str(alone), "its labels")) from None
    return json_bytes({"size": size, "annotations": annotations}).decode()


def _coco_put(folder: Path, sample: Kept, content: bytes) -> None:
    write_atomically(folder / "images" / sample.file, content)


def _coco_finish(folder: Path, samples: Sequence[Kept], head: Head) -> None:
    labels = [(one.file, json.loads(one.label)) for one in samples]
    entries = [(name, tuple(label["size"]), label["annotations"]) for name, label in labels]
    if not any(annotations for _, _, annotations in entries):
        raise RetrainError(
            f"nothing is labelled in any of the {len(entries)} new images, which COCO's format does not allow. Deliver "
            "them together with images in which something is."
        )
    write_atomically(folder / "annotations.json", json_bytes(_coco_file(entries, head)))


def _coco_file(entries: Sequence[tuple[str, tuple[int, int], list[Any]]], head: Head) -> dict[str, Any]:
    """Return the content of a COCO file of images (name, (height, width), annotations without ids)."""
    images = [
        {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        for number, (name, size, _) in enumerate(entries, 1)
    ]
    owned = [(number, one) for number, (_, _, found) in enumerate(entries, 1) for one in found]
    annotations = [{**one, "id": number, "image_id": image} for number, (image, one) in enumerate(owned, 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(head.classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _root(path: str) -> str:
    root = files.location(path)
    if not files.is_folder(root):
        raise DatasetError(
            f"the folder of new samples {root} does not exist. Correct `new_data.path` in schedule.yml, or make it."
        )
    return root


def _read(place: str) -> bytes:
    with files.open_file(place) as file:
        content = file.read(LARGEST_LABELS + 1)
    if len(content) > LARGEST_LABELS:
        raise OSError(f"it is larger than {LARGEST_LABELS} bytes")
    return content


FOLDER = Format("image_folder", _folder_candidates, _folder_label, _folder_put, _folder_finish)
YOLO = Format("yolo", _yolo_candidates, _yolo_label, _yolo_put, _yolo_finish)
COCO = Format("coco", _coco_candidates, _coco_label, _coco_put, _coco_finish)
