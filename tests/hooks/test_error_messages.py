"""What a user is told instead of a traceback."""

import errno
from pathlib import Path

import pytest
from kedro.io import DatasetError

from edge_pipeline import pipeline_registry
from edge_pipeline.core.errors import ConfigError, StorageError, TargetsFailedError
from edge_pipeline.hooks.command import explain


@pytest.mark.parametrize(
    "error", [TargetsFailedError("two targets failed"), ConfigError(["first", "second"]), StorageError("damaged")]
)
def test_an_error_of_the_project_is_told_in_its_own_words(error: Exception) -> None:
    assert explain(error) == str(error)


def test_an_error_of_the_project_inside_one_of_kedro_is_found() -> None:
    try:
        try:
            raise StorageError("x.json is damaged")
        except StorageError as error:
            raise DatasetError("Failed while loading data") from error
    except DatasetError as error:
        assert explain(error) == "x.json is damaged"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_wherever_it_happens(number: int) -> None:
    message = explain(OSError(number, "No space left on device", "/data/x"))
    assert message is not None
    assert "the disk is full" in message
    assert "/data/x" in message


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EACCES, "denied"), RuntimeError("a defect")])
def test_a_defect_is_left_to_its_traceback(error: Exception) -> None:
    assert explain(error) is None


def test_a_mistake_in_a_project_without_models_is_left_to_kedro(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline_registry, "_session", {})
    assert explain(ValueError("Pipeline contains no nodes after applying all provided filters.")) is None


@pytest.mark.parametrize("cause", [False, True], ids=["implicit", "from None"])
def test_a_defect_in_the_handling_of_an_error_is_left_to_its_traceback(cause: bool) -> None:
    try:
        try:
            raise StorageError("x.json is damaged")
        except StorageError:
            if cause:
                raise KeyError("a defect") from None
            raise KeyError("a defect")  # noqa: B904
    except KeyError as error:
        assert explain(error) is None
