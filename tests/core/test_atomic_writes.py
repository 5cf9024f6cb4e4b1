import threading
from pathlib import Path

import pytest

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import write_atomically


def test_the_file_holds_the_data_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.bin", b"\x00data\xff")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"\x00data\xff"}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "er" / "a.bin", b"1")
    assert (tmp_path / "deep" / "er" / "a.bin").read_bytes() == b"1"


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a much longer old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_write_that_raises_keeps_the_old_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text is not bytes")  # type: ignore[arg-type]
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"a.bin": b"old"}


def test_a_parent_that_is_a_file_is_reported_with_the_path_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Check that the folder exists and is writable") as raised:
        write_atomically(tmp_path / "file" / "a.bin", b"1")
    assert str(tmp_path / "file" / "a.bin") in str(raised.value)


def test_a_folder_in_the_place_of_the_file_is_reported_and_no_temporary_left(tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_atomically(tmp_path / "a.bin", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    contents = [bytes([letter]) * 300_000 for letter in b"xy"]
    write_atomically(path, contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            write_atomically(path, contents[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(contents)


def test_a_file_may_be_read_by_those_that_any_new_file_may(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "a.bin", b"1")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
