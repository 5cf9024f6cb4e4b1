"""The results that go with a release: written, read again, and refused where they do not belong together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.types import Failure, Precision, Profile, Target, Validation
from edge_pipeline.pipelines.compare.evidence import read_evidence, write_evidence
from edge_pipeline.pipelines.compare.results import TargetResults

Results = Callable[..., TargetResults]


def one_artifact(found: TargetResults) -> TargetResults:
    """Let profile, validation and predictions be of one artifact, as a run makes them."""
    profile, validation = found.results
    assert isinstance(profile, Profile)
    assert isinstance(validation, Validation)
    return replace(found, results=(replace(profile, artifact=validation.artifact), validation))


def test_what_was_written_is_read_again(results: Results, tmp_path: Path) -> None:
    found = [one_artifact(results()), one_artifact(results(precision=Precision.FLOAT))]
    write_evidence(found, tmp_path / "evidence")
    write_evidence(found, tmp_path / "evidence")
    again = {one.target: one for one in read_evidence(tmp_path / "evidence", "digits")}
    assert again == {one.target: one for one in found}


def test_a_failure_and_what_counts_for_nothing_are_written_with_their_reason(results: Results, tmp_path: Path) -> None:
    board = Target("digits", "board", found_runtime(results), Precision.W8A8)
    failed = replace(results(), results=(Failure("profile", "x", "it burned"),), predictions=None)
    outdated = TargetResults(board, "ssh", (), None, ("profile, validation: outdated, there is a newer artifact",))
    write_evidence([failed, outdated], tmp_path)
    by_device = {one.target.device: one for one in read_evidence(tmp_path, "digits")}
    assert [one.message for one in by_device["host"].results] == ["it burned", "it burned"]
    assert "outdated, there is a newer artifact" in by_device["board"].results[0].message
    assert not by_device["board"].measured


def found_runtime(results: Results):
    return results().target.runtime


def test_an_older_result_does_not_survive_a_failure(results: Results, tmp_path: Path) -> None:
    found = one_artifact(results())
    write_evidence([found], tmp_path)
    failure = Failure("validate", found.target.name, "it broke")
    write_evidence([replace(found, results=(found.results[0], failure), predictions=None)], tmp_path)
    (one,) = read_evidence(tmp_path, "digits")
    assert (one.results[1], one.predictions) == (failure, None)


def test_results_of_two_artifacts_do_not_count(results: Results, tmp_path: Path) -> None:
    found = one_artifact(results())
    write_evidence([replace(found, results=(replace(found.results[0], artifact="other"), found.results[1]))], tmp_path)
    (one,) = read_evidence(tmp_path, "digits")
    assert (one.results, one.predictions) == ((), None)
    assert one.problems == ("profile and validation are of two different artifacts, so neither counts",)


def test_tampered_files_do_not_count(results: Results, tmp_path: Path) -> None:
    found = one_artifact(results())
    write_evidence([found], tmp_path)
    place = tmp_path / found.target.slug
    text = (place / "validation.json").read_text()
    (place / "validation.json").write_text(text.replace('"accuracy":0.', '"accuracy":1.'))
    (place / "predictions" / "outputs.npz").write_bytes(b"changed")
    (one,) = read_evidence(tmp_path, "digits")
    assert [type(result) for result in one.results] == [Profile]
    assert one.predictions is None
    assert ["is damaged" in problem for problem in one.problems] == [True, True]


def test_what_is_missing_is_told(results: Results, tmp_path: Path) -> None:
    found = one_artifact(results())
    write_evidence([found], tmp_path)
    (tmp_path / found.target.slug / "profile.json").unlink()
    (one,) = read_evidence(tmp_path, "digits")
    assert [type(result) for result in one.results] == [Validation]
    assert one.problems == (f"profile: not among the results in {tmp_path}",)


def test_no_folder_an_empty_one_and_one_of_another_model_are_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no folder"):
        read_evidence(tmp_path / "nowhere", "digits")
    with pytest.raises(StorageError, match="holds no results"):
        read_evidence(tmp_path, "digits")
    write_evidence([one_artifact(results())], tmp_path)
    with pytest.raises(StorageError, match="not of the model 'letters'"):
        read_evidence(tmp_path, "letters")
