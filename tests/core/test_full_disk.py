from pathlib import Path

import pytest

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import write_atomically


def test_a_full_disk_is_reported_with_path_space_left_and_what_to_do(small_disk: Path) -> None:
    path = small_disk / "deep" / "a.bin"
    with pytest.raises(StorageError) as raised:
        write_atomically(path, bytes(100_000))
    for text in ("the disk is full", str(path), "0 MB free", "Free some space and run the same command again"):
        assert text in str(raised.value)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_temporary(small_disk: Path) -> None:
    write_atomically(small_disk / "a.bin", b"old")
    with pytest.raises(StorageError):
        write_atomically(small_disk / "a.bin", bytes(100_000))
    assert {one.name: one.read_bytes() for one in small_disk.iterdir()} == {"a.bin": b"old"}


def test_the_same_write_succeeds_after_space_was_freed(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(48_000))
    with pytest.raises(StorageError):
        write_atomically(small_disk / "a.bin", bytes(40_000))
    (small_disk / "ballast").unlink()
    write_atomically(small_disk / "a.bin", bytes(40_000))
    assert (small_disk / "a.bin").stat().st_size == 40_000
