"""Releases in a real MLflow store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ReleaseError, StorageError, TrackingError
from edge_pipeline.hooks.registry import BUNDLE, EVIDENCE, FOLDER, Draft, Registry, zipped
from edge_pipeline.pipelines.config import TrackingSpec


@pytest.fixture
def registry(store_uri: str, request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return Registry(TrackingSpec(experiment=request.node.nodeid, tracking_uri=store_uri), tmp_path)


@pytest.fixture
def challenge(registry: Registry, make_record: Any, tmp_path: Path) -> Any:
    """Add a release whose content is a word."""

    def add(word: str) -> Any:
        folder = tmp_path / "evidence" / word
        (folder / "host-onnx-float").mkdir(parents=True, exist_ok=True)
        (folder / "host-onnx-float" / "profile.json").write_text(word)
        files = {f"{FOLDER}/{BUNDLE}": word.encode(), f"{FOLDER}/{EVIDENCE}": zipped(folder)}
        record = make_record(name="digits/release", files=files, tables={})
        return registry.challenge(
            "digits", word, lambda number: Draft(record, {"number": str(number)}, f"# Card of {word}")
        )

    return add


def champion(registry: Registry) -> int | None:
    found = registry.find("digits", "champion")
    return found and found.version


def test_without_a_release_there_is_no_champion(registry: Registry) -> None:
    assert registry.find("digits", "champion") is None
    assert registry.releases("digits") == []


def test_a_release_is_a_version_and_the_challenger(registry: Registry, challenge: Any, client: Any) -> None:
    made = challenge("first")
    assert (made.model, made.version) == ("digits", 1)
    assert registry.find("digits", "challenger").version == 1
    assert champion(registry) is None
    version = client.get_model_version(registry.name("digits"), "1")
    assert version.description == "# Card of first"
    assert version.run_id == made.run_id
    assert version.tags["number"] == "1"
    assert client.get_run(made.run_id).info.status == "FINISHED"


def test_the_same_content_is_released_once(registry: Registry, challenge: Any) -> None:
    challenge("first"), challenge("second")
    again = challenge("first")
    assert again.version == 1
    assert len(registry.releases("digits")) == 2
    assert registry.find("digits", "challenger").version == 1


def test_promotion_and_rollback(registry: Registry, challenge: Any) -> None:
    one, two, three = challenge("one"), challenge("two"), challenge("three")
    registry.promote(one, {"gate": "passed"}, None)
    registry.promote(two, {}, one)
    registry.promote(three, {}, two)
    assert champion(registry) == 3
    assert registry.find("digits", "1").tags["gate"] == "passed"
    assert [release.version for release in registry.roll_back("digits")] == [3, 2]
    assert [release.version for release in registry.roll_back("digits")] == [2, 1]
    with pytest.raises(ReleaseError, match="first champion"):
        registry.roll_back("digits")
    assert champion(registry) == 1


def test_nothing_to_roll_back(registry: Registry, challenge: Any) -> None:
    challenge("one")
    with pytest.raises(ReleaseError, match="no champion"):
        registry.roll_back("digits")


def test_promoting_the_champion_keeps_what_it_replaced(registry: Registry, challenge: Any) -> None:
    one, two = challenge("one"), challenge("two")
    registry.promote(one, {}, None)
    registry.promote(two, {}, one)
    registry.promote(two, {}, two)
    assert registry.roll_back("digits")[1].version == 1


def test_a_champion_that_changed_while_it_was_judged_is_not_replaced(registry: Registry, challenge: Any) -> None:
    one, two = challenge("one"), challenge("two")
    registry.promote(one, {}, None)
    with pytest.raises(ReleaseError, match="changed from version None to 1"):
        registry.promote(two, {}, None)
    assert champion(registry) == 1


@pytest.mark.parametrize(
    "step",
    [
        "create_registered_model",
        "create_model_version",
        "log_artifacts",
        "update_model_version",
        "set_model_version_tag",
        "set_registered_model_alias",
    ],
)
def test_a_release_that_was_cut_off_is_completed_by_the_same_command(
    registry: Registry, challenge: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry._store.client, step, cut)
        challenge("first")
    assert registry.find("digits", "challenger") is None
    made = challenge("first")
    assert [one.version for one in registry.releases("digits")] == [made.version]
    assert registry.find("digits", "challenger").version == made.version
    assert registry.bundle(made) == b"first"


@pytest.mark.parametrize("step", ["set_model_version_tag", "set_registered_model_alias"])
def test_a_promotion_that_was_cut_off_leaves_the_champion(
    registry: Registry, challenge: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    one, two = challenge("one"), challenge("two")
    registry.promote(one, {}, None)

    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry._store.client, step, cut)
        registry.promote(two, {}, one)
    assert champion(registry) == 1
    registry.promote(two, {}, one)
    assert registry.roll_back("digits")[1].version == 1


def test_evidence_and_bundle_come_back(registry: Registry, challenge: Any, tmp_path: Path) -> None:
    made = challenge("first")
    assert registry.bundle(made) == b"first"
    folder = registry.evidence(made)
    assert (folder / "host-onnx-float" / "profile.json").read_text() == "first"
    (folder / "host-onnx-float" / "profile.json").write_text("changed by hand")
    assert (registry.evidence(made) / "host-onnx-float" / "profile.json").read_text() == "first"


def test_files_that_are_not_those_released_are_refused(registry: Registry, challenge: Any, client: Any) -> None:
    made = challenge("first")
    root = Path(client.get_run(made.run_id).info.artifact_uri.removeprefix("file://"))
    (root / FOLDER / EVIDENCE).write_bytes(b"other")
    with pytest.raises(StorageError, match="not what was released"):
        registry.evidence(made)
    with pytest.raises(StorageError, match="not what was released"):
        registry.bundle(replace(made, tags={}))


def test_projects_with_other_experiments_have_releases_of_their_own(
    registry: Registry, challenge: Any, store_uri: str, tmp_path: Path
) -> None:
    challenge("first")
    other = Registry(TrackingSpec(experiment="another/team", tracking_uri=store_uri), tmp_path)
    assert other.name("digits") == "another-team.digits"
    assert other.releases("digits") == []


def test_a_server_that_is_down_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="cannot be used"):
        Registry(TrackingSpec(tracking_uri="http://127.0.0.1:9"), tmp_path)
