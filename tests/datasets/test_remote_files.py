import json
import multiprocessing
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets import files
from edge_pipeline.datasets.coco import CocoSamples
from edge_pipeline.datasets.image_folder import ImageFolder

WriteImage = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    for number in range(12):
        write_image(tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number:02}.png", size=(96, 96))
    return tmp_path / "images"


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> str:
    """The same folder in a zip file."""
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(folder.rglob("*.png")):
            file.write(image, image.relative_to(folder))
    return f"zip://::{path}"


@pytest.fixture
def in_memory(folder: Path) -> Any:
    system = fsspec.filesystem("memory")
    for image in folder.rglob("*.png"):
        system.pipe(f"/store/{image.relative_to(folder)}", image.read_bytes())
    yield "memory://store"
    system.rm("/store", recursive=True)


def same(one: ImageFolder, other: ImageFolder) -> bool:
    pictures = all(np.array_equal(one.picture(i), other.picture(i)) for i in range(len(one)))
    return one.classes == other.classes and list(one.labels) == list(other.labels) and pictures


def test_an_archive_is_read_like_the_folder_it_was_made_of(folder: Path, archive: str) -> None:
    local, zipped = ImageFolder(folder, 1), ImageFolder(archive, 1)
    assert same(local, zipped)
    assert zipped.content_hash() == local.content_hash()


def test_a_store_is_read_like_a_folder(folder: Path, in_memory: str) -> None:
    local, stored = ImageFolder(folder, 1), ImageFolder(in_memory, 1)
    assert same(local, stored)
    assert stored.content_hash() == local.content_hash()


def test_a_file_url_is_a_local_path(folder: Path) -> None:
    assert same(ImageFolder(folder, 1), ImageFolder(f"file://{folder}", 1))


def _checksums(samples: ImageFolder, start: int, queue: Any) -> None:
    queue.put([int(samples.picture((start + i) % 12).sum()) for i in range(240)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_one_archive_at_the_same_time(archive: str, method: str) -> None:
    samples = ImageFolder(archive, 1)
    sums = [int(samples.picture(i).sum()) for i in range(12)]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    starts = range(3)
    workers = [context.Process(target=_checksums, args=(samples, start, queue)) for start in starts]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(found) == sorted([sums[(start + i) % 12] for i in range(240)] for start in starts)


def test_coco_labels_and_images_may_be_remote(in_memory: str) -> None:
    system = fsspec.filesystem("memory")
    labels = {
        "images": [{"id": 1, "file_name": "cat/00.png", "width": 96, "height": 96}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}],
    }
    system.pipe("/store/labels.json", json.dumps(labels).encode())
    samples = CocoSamples({"train": (in_memory, f"{in_memory}/labels.json")}, 3, masks=False)
    assert samples.picture(0).shape == (96, 96, 3)
    assert samples.truth(0).boxes.tolist() == [[1, 1, 5, 5]]


def test_samples_of_an_archive_can_be_pickled(archive: str) -> None:
    samples = ImageFolder(archive, 1)
    samples.picture(0)
    assert same(pickle.loads(pickle.dumps(samples)), samples)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(DatasetError, match=r"cannot open abfs://bucket/images: .*adlfs.*pip install"):
        ImageFolder("abfs://bucket/images", 3)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"cannot open s4://bucket: .*s4.*models\.yml"):
        ImageFolder("s4://bucket", 3)


def test_a_missing_archive_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.zip"):
        ImageFolder(f"zip://::{tmp_path}/nowhere.zip", 3)


def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"x\.zip"):
        ImageFolder(f"zip://::{tmp_path}/x.zip", 3)


@pytest.mark.parametrize(
    ("folder", "joined"),
    [
        ("/data", "/data/a/b.png"),
        ("/data/", "/data/a/b.png"),
        ("s3://bucket/x", "s3://bucket/x/a/b.png"),
        ("zip://::/data/x.zip", "zip://a/b.png::/data/x.zip"),
        ("zip://in::/data/x.zip", "zip://in/a/b.png::/data/x.zip"),
        ("simplecache::s3://bucket", "simplecache::s3://bucket/a/b.png"),
        ("simplecache::zip://in::s3://bucket/x.zip", "simplecache::zip://in/a/b.png::s3://bucket/x.zip"),
    ],
)
def test_names_are_joined_inside_the_archive_or_store(folder: str, joined: str) -> None:
    assert files.join(folder, "a/b.png") == joined
    assert files.parent(files.parent(joined)) == folder.rstrip("/")
    assert files.relative(joined, folder) == "a/b.png"


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "elsewhere" / "x.png")
    write_image(tmp_path / "root" / "y.png")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    assert files.tree(str(tmp_path / "root"), [".png"]) == ["link/x.png", "y.png"]
