import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import StorageError
from edge_pipeline.datasets.aerial import AerialScenes, AerialSettings, samples

SETTINGS = AerialSettings(30, 7, (96, 112))


def cached(folder: Path, task: str = "instance_segmentation") -> AerialScenes:
    return AerialScenes(dataclasses.replace(SETTINGS, cache=folder), task)


def files(folder: Path, suffix: str = "*") -> list[Path]:
    return sorted(p for p in folder.rglob(f"*.{suffix}") if p.is_file())


def never(*_: object) -> None:
    raise AssertionError("a scene was rendered")


def same(one: object, other: object) -> bool:
    if isinstance(one, Instances) and isinstance(other, Instances):
        fields = ("boxes", "classes", "scores", "crowd")
        arrays = all(np.array_equal(getattr(one, f), getattr(other, f)) for f in fields)
        masks = [[dict(m) for m in i.masks] if i.masks is not None else None for i in (one, other)]
        return arrays and masks[0] == masks[1] and one.size == other.size
    return np.array_equal(one, other)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["classification", "detection", "instance_segmentation", "semantic_segmentation"])
def test_the_second_visit_is_bit_identical_and_renders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    plain = AerialScenes(SETTINGS, task)
    first = cached(tmp_path, task)
    for i in range(6):
        first.picture(i)
    monkeypatch.setattr(samples, "render", never)
    again = [(cached(tmp_path, task).picture(i), cached(tmp_path, task).truth(i)) for i in range(6)]
    monkeypatch.undo()
    for i, (picture, truth) in enumerate(again):
        assert np.array_equal(picture, plain.picture(i)) and picture.flags.writeable
        assert same(truth, plain.truth(i))


def test_a_scene_without_objects_can_be_stored(tmp_path: Path) -> None:
    settings = AerialSettings(200, 1, (40, 40), (40, 40), tmp_path)
    scenes = AerialScenes(settings, "instance_segmentation")
    empty = next(i for i in range(200) if len(scenes.truth(i)) == 0)  # type: ignore[arg-type]
    found = scenes.truth(empty)
    assert isinstance(found, Instances)
    assert found.masks == () and found.boxes.shape == (0, 4)


def test_labels_need_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path).picture(0)
    for path in files(tmp_path, "png"):
        path.unlink()
    monkeypatch.setattr(samples, "render", never)
    assert isinstance(cached(tmp_path).truth(0), Instances)


@pytest.mark.parametrize("suffix", ["png", "npz"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "missing"])
def test_a_damaged_file_is_made_again(tmp_path: Path, suffix: str, damage: str) -> None:
    plain = AerialScenes(SETTINGS, "instance_segmentation")
    cached(tmp_path).picture(0)
    (path,) = files(tmp_path, suffix)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": whole[:middle], "flipped": flipped}[damage])
    assert np.array_equal(cached(tmp_path).picture(0), plain.picture(0))
    assert same(cached(tmp_path).truth(0), plain.truth(0))
    assert path.read_bytes() == whole


def test_other_settings_and_another_generator_use_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path).picture(0)
    AerialScenes(AerialSettings(30, 8, (96, 112), cache=tmp_path), "detection").picture(0)
    assert len(list(tmp_path.iterdir())) == 2
    AerialScenes(AerialSettings(99, 8, (96, 112), cache=tmp_path), "classification").picture(0)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("edge_pipeline.datasets.aerial.cache.generator_hash", lambda: "0" * 64)
    cached(tmp_path).picture(0)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        cached(tmp_path / "file").picture(0)


def visit(scenes: AerialScenes) -> list[int]:
    return [int(scenes.picture(i).sum()) + len(scenes.truth(i)) for i in range(4)]  # type: ignore[arg-type]


def test_several_processes_may_fill_one_cache(tmp_path: Path) -> None:
    scenes = cached(tmp_path)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(visit, [scenes] * 4, chunksize=1)
    expected = visit(AerialScenes(SETTINGS, "instance_segmentation"))
    assert results == [expected] * 4
    assert len(files(tmp_path)) == 8 and not list(tmp_path.rglob("*.tmp"))
