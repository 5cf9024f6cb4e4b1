import errno
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.spool import Spool


def test_arrays_of_any_shape_and_type_come_back() -> None:
    generator = np.random.default_rng(0)
    arrays = [
        generator.integers(0, 255, (3, 5), np.uint8),
        generator.normal(size=(2, 3, 4)).astype(np.float32),
        np.asarray(7.5),
        np.zeros((0, 4), np.int16),
        generator.normal(size=(6, 8))[::2, ::3],
        np.asarray(["a", "bcd"]),
    ]
    spool = Spool()
    for array in arrays:
        spool.append(array)
    assert len(spool) == len(arrays)
    for found, expected in zip(spool, arrays, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(found, expected)
    assert np.array_equal(spool[-1], arrays[-1])
    assert [one.shape for one in spool[1:3]] == [(2, 3, 4), ()]
    with pytest.raises(IndexError):
        spool[6]


def test_arrays_may_be_added_after_some_were_read() -> None:
    spool = Spool()
    spool.append(np.arange(3))
    first = spool[0]
    spool.append(np.arange(3, 6))
    assert first.tolist() == [0, 1, 2]
    assert spool[1].tolist() == [3, 4, 5]


def test_equal_arrays_are_stacked_and_unequal_ones_are_not() -> None:
    spool = Spool()
    assert spool.stacked() is None
    for index in range(5):
        spool.append(np.full((3, 7), index, np.int16))
    stacked = spool.stacked()
    assert stacked is not None
    assert (stacked.shape, stacked.dtype) == ((5, 3, 7), np.int16)
    assert stacked[:, 2, 6].tolist() == [0, 1, 2, 3, 4]
    assert stacked.flags.c_contiguous
    spool.append(np.zeros((3, 7), np.int32))
    assert spool.stacked() is None


def test_writing_into_an_array_changes_no_later_read() -> None:
    spool = Spool()
    spool.append(np.zeros(4))
    spool[0][:] = 9
    assert spool[0].tolist() == [0, 0, 0, 0]


def test_arrays_outlive_their_spool() -> None:
    spool = Spool()
    spool.append(np.arange(100_000))
    array = spool[0]
    del spool
    assert int(array.sum()) == 4_999_950_000


def test_large_arrays_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    spool = Spool()
    for index in range(40):
        spool.append(np.full(2**20, index, np.uint8))
    assert tracemalloc.get_traced_memory()[0] < 4 * 2**20
    tracemalloc.stop()
    assert [int(one[-1]) for one in spool] == list(range(40))


def test_no_file_is_left_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    spool = Spool()
    spool.append(np.arange(10))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    spool = Spool()
    with pytest.raises(StorageError, match=f"the disk is full: writing {small_disk}") as caught:
        for _ in range(10):
            spool.append(np.zeros(2**16, np.uint8))
            spool[0]
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
