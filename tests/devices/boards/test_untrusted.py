"""What a board says and sends is not trusted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import outputs, profile, refused

Wrapped = Callable[..., DeviceSpec]


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


def test_a_banner_before_the_answer_is_none_of_it(wrapped: Wrapped, artifact: Artifact, images: Any) -> None:
    banner = "echo 'Welcome to {rb3}'; echo; echo '[1] \"last login\"'; echo motd >&2"
    wanted = outputs(DeviceSpec(kind="host"), artifact, images[:2])
    np.testing.assert_array_equal(outputs(wrapped(step=banner), artifact, images[:2]), wanted)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("head -c 999 /dev/urandom", "something else than JSON"),
        ("echo '[1, 2]'", "something else than JSON"),
        ("true", "something else than JSON: ''"),
        ("echo '{}'", "the board's answer to 'prepare' has no there, files, free_mb"),
        ("""echo '{"there": 5, "files": [], "free_mb": "much"}'""", "has no there, files, free_mb"),
        ("yes", "the board sent more than the 1048576 characters that an answer can have: 'y"),
    ],
    ids=["noise", "no object", "nothing", "empty", "wrong types", "without end"],
)
def test_garbage_is_an_error(wrapped: Wrapped, artifact: Artifact, images: Any, said: str, expected: str) -> None:
    assert expected in refused(outputs, wrapped(step=f"{said}; exit 0"), artifact, images[:2])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("truncate -s 3G result.npz", "has 3221225472 bytes, more than the"),
        ("true", "result.npz cannot be read: No such file"),
        ("ln -s / result.npz", "result.npz cannot be read"),
        ("echo hello > result.npz", "answered are no outputs"),
        ("printf 'PK\\003\\004hello' > result.npz", "answered are no outputs"),
    ],
    ids=["too large", "none", "a folder", "text", "broken archive"],
)
def test_outputs_that_are_none(wrapped: Wrapped, artifact: Artifact, images: Any, made: str, expected: str) -> None:
    assert expected in refused(outputs, wrapped(agent=f"{made}; exit 0"), artifact, images[:2])


def test_outputs_that_would_fill_the_memory_are_not_unpacked(
    wrapped: Wrapped, board: DeviceSpec, artifact: Artifact, images: Any
) -> None:
    code = "import numpy; numpy.savez_compressed(open('result.npz', 'wb'), numpy.zeros(50_000_000))"
    told = refused(outputs, wrapped(agent=f'{board.python} -c "{code}"; exit 0'), artifact, images[:2])
    assert "400000128 bytes unpacked, more than the" in told


@pytest.mark.parametrize(
    ("made", "expected"),
    [("echo hello > result.json", "Expecting value"), ("echo '{}' > result.json", "no measurement")],
    ids=["no JSON", "no numbers"],
)
def test_a_measurement_that_is_none(
    wrapped: Wrapped, artifact: Artifact, images: Any, made: str, expected: str
) -> None:
    assert expected in refused(profile, wrapped(agent=f"{made}; exit 0"), artifact, images[:2])


def test_a_path_in_a_result_names_nothing_here(
    wrapped: Wrapped, board: DeviceSpec, artifact: Artifact, images: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    code = "import numpy; numpy.savez(open('result.npz', 'wb'), **{'../escaped': numpy.ones((2, 10))})"
    (tmp_path / "here" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "deeper")
    found = outputs(wrapped(agent=f'{board.python} -c "{code}"; exit 0'), artifact, images[:2])
    np.testing.assert_array_equal(found, np.ones((2, 10)))
    assert list((tmp_path / "here").rglob("*")) == [tmp_path / "here" / "deeper"]
