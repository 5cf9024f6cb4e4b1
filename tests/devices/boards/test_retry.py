"""A board that fails is tried again by the policy of its entry, and that is said."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.retry import Retrying
from edge_pipeline.devices.settings import ProfileSettings

SETTINGS = ProfileSettings(warmup=1, min_inferences=100, min_seconds=2, idle_seconds=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "FIRST_S", 0.3)


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


def with_retry(spec: DeviceSpec, **policy: Any) -> DeviceSpec:
    return DeviceSpec.model_validate({**spec.model_dump(exclude_unset=True), "retry": policy})


def infer(device: Any, artifact: Artifact, images: Any) -> Any:
    (found,) = device.infer(artifact, [(images[:2],)], threads=1, time_limit_s=60, target="digits@board")
    return found[0]


def test_a_board_that_comes_back_is_used_and_the_retry_is_told(
    board: DeviceSpec, sshd: Any, artifact: Artifact, images: Any
) -> None:
    device = connect(with_retry(board, attempts=20, backoff_s=0.1))
    sshd.stop()
    timer = threading.Timer(1.0, sshd.start)
    timer.start()
    try:
        profile = device.profile(artifact, (images,), SETTINGS, "digits@board")
    finally:
        timer.join()
    assert any("was tried again after" in one and "cannot be reached" in one for one in profile.warnings)
    assert isinstance(device, Retrying)
    assert device.retries


def test_the_number_of_tries_is_told_when_all_fail(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    gone = with_retry(board.model_copy(update={"address": "edge@127.0.0.1:1"}), attempts=3, backoff_s=0)
    with pytest.raises(DeviceError, match=r"cannot be reached.*\(tried 3 times\)"):
        infer(connect(gone), artifact, images)


def killed_once(folder: Path, command: str) -> str:
    """Return a Python that kills itself the first time that it runs the agent."""
    script = folder / "python"
    script.write_text(
        f'#!/bin/sh\ncase "$1" in *.pyz) [ -e {folder}/mark ] || {{ : > {folder}/mark; kill -9 $$; }};; esac\n'
        f'exec {command} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_an_agent_that_was_killed_is_started_again(
    board: DeviceSpec, artifact: Artifact, images: Any, tmp_path: Path
) -> None:
    device = connect(
        with_retry(board.model_copy(update={"python": killed_once(tmp_path, sys.executable)}), backoff_s=0)
    )
    assert len(infer(device, artifact, images)) == 2
    assert isinstance(device, Retrying)
    assert len(device.retries) == 1


def test_a_policy_may_leave_a_trouble_out(board: DeviceSpec, artifact: Artifact, images: Any, tmp_path: Path) -> None:
    spec = board.model_copy(update={"python": killed_once(tmp_path, sys.executable)})
    with pytest.raises(DeviceError) as raised:
        infer(connect(with_retry(spec, attempts=5, on=["unreachable"])), artifact, images)
    assert "times)" not in str(raised.value)


def test_what_the_agent_reports_is_not_tried_again(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    device = connect(with_retry(board, attempts=5, backoff_s=0))
    with pytest.raises(DeviceError) as raised:
        infer(device, artifact, images[:, :, :4])
    assert "times)" not in str(raised.value)
    assert isinstance(device, Retrying)
    assert not device.retries


@pytest.mark.parametrize("policy", [{"attempts": 0}, {"backoff_s": -1}, {"on": ["weather"]}, {"tries": 3}])
def test_a_policy_that_cannot_be_is_refused(board: DeviceSpec, policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        with_retry(board, **policy)
