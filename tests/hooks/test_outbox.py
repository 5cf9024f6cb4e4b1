import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_pipeline.core.errors import StorageError
from edge_pipeline.hooks import outbox
from edge_pipeline.hooks.records import RunRecord

Make = Callable[..., RunRecord]


def records(root: Path) -> list[RunRecord]:
    return [record for _, record in outbox.waiting(root)]


def test_a_record_comes_back_equal(tmp_path: Path, make_record: Make) -> None:
    record = make_record(run_id="abc", files={"a/b.bin": bytes(range(256)), "empty": b""})
    outbox.put(tmp_path, record)
    assert records(tmp_path) == [record]


def test_records_wait_in_the_order_they_were_put(tmp_path: Path, make_record: Make) -> None:
    for name in "cab":
        outbox.put(tmp_path, make_record(name=name))
        time.sleep(0.02)  # longer than a tick of the file system's clock
    assert [record.name for record in records(tmp_path)] == ["c", "a", "b"]


def test_the_same_record_put_twice_waits_once(tmp_path: Path, make_record: Make) -> None:
    outbox.put(tmp_path, make_record())
    outbox.put(tmp_path, make_record())
    assert len(records(tmp_path)) == 1


def test_a_record_that_was_sent_is_forgotten_and_the_others_wait_on(tmp_path: Path, make_record: Make) -> None:
    for name in "ab":
        outbox.put(tmp_path, make_record(name=name))
    place = next(place for place, record in outbox.waiting(tmp_path) if record.name == "a")
    outbox.remove(place)
    assert [record.name for record in records(tmp_path)] == ["b"]
    assert not place.exists()


def test_an_outbox_that_was_never_used_is_empty(tmp_path: Path) -> None:
    assert records(tmp_path) == []


def test_files_without_their_record_do_not_wait(tmp_path: Path, make_record: Make) -> None:
    """A process that is killed while it puts one leaves that."""
    outbox.put(tmp_path, make_record())
    place, _ = next(outbox.waiting(tmp_path))
    (place / "record.json").unlink()
    assert records(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"files": {}, "metrics": []}', b"\xff"])
def test_a_damaged_record_is_reported_with_its_place_and_what_to_do(
    tmp_path: Path, make_record: Make, content: bytes
) -> None:
    outbox.put(tmp_path, make_record())
    place, _ = next(outbox.waiting(tmp_path))
    (place / "record.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"is damaged .* delete the folder") as raised:
        records(tmp_path)
    assert str(place) in str(raised.value)


def test_a_record_whose_file_is_gone_is_damaged(tmp_path: Path, make_record: Make) -> None:
    outbox.put(tmp_path, make_record())
    place, _ = next(outbox.waiting(tmp_path))
    next(path for path in place.iterdir() if path.name != "record.json").unlink()
    with pytest.raises(StorageError, match="is damaged"):
        records(tmp_path)


def test_a_full_disk_is_reported_and_half_a_record_does_not_wait(small_disk: Path, make_record: Make) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        outbox.put(small_disk, make_record(files={"a": b"1", "b": bytes(100_000)}))
    assert records(small_disk) == []
