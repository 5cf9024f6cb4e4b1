import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.core.types import Layer, Profile, Split, Target, Validation
from edge_pipeline.datasets.kedro_io import RecordDataset

TYPES = "edge_pipeline.core.types"


@pytest.fixture
def split() -> Split:
    return Split("h" * 64, 7, ("a", "b"), (0, 1, 2), (3,), (4, 5))


@pytest.fixture
def dataset(tmp_path: Path) -> RecordDataset:
    return RecordDataset(str(tmp_path / "deep" / "split.json"), f"{TYPES}.Split")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "split.json"


def test_a_split_comes_back_equal(dataset: RecordDataset, split: Split) -> None:
    dataset.save(split)
    assert dataset.load() == split


def test_a_profile_comes_back_equal(tmp_path: Path, make_profile: Callable[..., Profile], target: Target) -> None:
    layers = (Layer("conv", "Conv", "cpu", 0.1), Layer("add", "Add", "npu"))
    profile = replace(make_profile(target, latency_p50_ms=0.1 + 0.2), layers=layers, warnings=("noisy",))
    dataset = RecordDataset(str(tmp_path / "profile.json"), f"{TYPES}.Profile")
    dataset.save(profile)
    assert dataset.load() == profile


def test_what_sensors_said_comes_back_equal_and_is_empty_in_older_records(
    tmp_path: Path, make_profile: Callable[..., Profile], target: Target
) -> None:
    profile = make_profile(target)
    readings = {"power": {"sensor": "ina226", "idle_w": 2.5, "load_w": None}, "problems": ["x"], "throttled": False}
    measured = replace(profile, repeats=(profile.repeats[0], replace(profile.repeats[1], readings=readings)))
    path = tmp_path / "profile.json"
    dataset = RecordDataset(str(path), f"{TYPES}.Profile")
    dataset.save(measured)
    assert dataset.load() == measured
    dataset.save(profile)
    record = json.loads(path.read_bytes())["record"]
    for repeat in record["repeats"]:
        del repeat["readings"]
    path.write_bytes(json_bytes({"record": record, "sha256": sha256(json_bytes(record))}))
    assert dataset.load() == profile


def test_a_validation_comes_back_equal(
    tmp_path: Path, make_validation: Callable[..., Validation], target: Target
) -> None:
    dataset = RecordDataset(str(tmp_path / "validation.json"), f"{TYPES}.Validation")
    dataset.save(make_validation(target))
    assert dataset.load() == make_validation(target)


def test_what_is_saved_replaces_what_was_there(dataset: RecordDataset, split: Split, path: Path) -> None:
    dataset.save(split)
    dataset.save(replace(split, seed=8))
    assert dataset.load().seed == 8
    assert [one.name for one in path.parent.iterdir()] == ["split.json"]


def test_a_changed_number_is_noticed(
    dataset: RecordDataset, split: Split, path: Path, refused: Callable, change_byte: Callable
) -> None:
    dataset.save(split)
    change_byte(path, b'"seed":7', b'"seed":8')
    with refused(str(path), "does not match its hash", "`kedro run --only-missing-outputs` makes it anew"):
        dataset.load()


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_file_is_noticed(
    dataset: RecordDataset, split: Split, path: Path, refused: Callable, share: float
) -> None:
    dataset.save(split)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with refused(str(path), "is damaged"):
        dataset.load()


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"record": 1}', b"\xff\xfe", b"null"])
def test_a_file_of_something_else_is_noticed(
    dataset: RecordDataset, path: Path, refused: Callable, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with refused(str(path), "is damaged"):
        dataset.load()


def test_a_record_of_another_kind_is_noticed(tmp_path: Path, split: Split, refused: Callable) -> None:
    RecordDataset(str(tmp_path / "x.json"), f"{TYPES}.Split").save(split)
    with refused("x.json is damaged"):
        RecordDataset(str(tmp_path / "x.json"), f"{TYPES}.Profile").load()


def test_a_missing_result_is_reported_with_what_to_do(dataset: RecordDataset, path: Path, refused: Callable) -> None:
    assert not dataset.exists()
    with refused(f"{path} does not exist", "--only-missing-outputs"):
        dataset.load()


def test_a_missing_optional_result_is_none(tmp_path: Path) -> None:
    assert RecordDataset(str(tmp_path / "x.json"), f"{TYPES}.Split", optional=True).load() is None


def test_a_damaged_optional_result_is_still_an_error(tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "x.json").write_bytes(b"{")
    with refused("is damaged"):
        RecordDataset(str(tmp_path / "x.json"), f"{TYPES}.Split", optional=True).load()


def test_a_discarded_result_does_not_exist(dataset: RecordDataset, split: Split) -> None:
    dataset.save(split)
    dataset.discard()
    dataset.discard()
    assert not dataset.exists()


def test_a_full_disk_keeps_the_old_record(small_disk: Path, split: Split, refused: Callable) -> None:
    dataset = RecordDataset(str(small_disk / "x.json"), f"{TYPES}.Split")
    dataset.save(split)
    with refused("the disk is full"):
        dataset.save(replace(split, train=tuple(range(50_000))))
    assert dataset.load() == split
