from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.runtimes.session import Session, open_session, run

Open = Callable[..., Session]


@pytest.fixture(
    params=[
        ("onnx", Precision.FLOAT),
        ("onnx", Precision.W8A8),
        pytest.param(("tflite", Precision.FLOAT), marks=pytest.mark.slow),
        pytest.param(("tflite", Precision.W8A8), marks=pytest.mark.slow),
    ],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def compiled(request: pytest.FixtureRequest) -> Artifact:
    engine, precision = request.param
    return request.getfixturevalue({"onnx": "onnx_compiled", "tflite": "litert_compiled"}[engine])[precision]


def open_(compiled: Artifact, threads: int = 1) -> Session:
    return open_session(compiled.details["runtime"], compiled.files[compiled.details["model"]], threads=threads)


def test_float_images_go_in_and_float_logits_come_out(compiled: Artifact, images: Any) -> None:
    (logits,) = run(open_(compiled), [images[:1]])
    assert logits.dtype == np.float32
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()


def test_the_three_steps_one_by_one_give_the_same_as_run(compiled: Artifact, images: Any) -> None:
    session = open_(compiled)
    native = session.invoke(session.encode([images[:1]]))
    assert np.array_equal(session.decode(native)[0], run(session, [images[:1]])[0])


def test_a_session_gives_the_same_again(compiled: Artifact, images: Any) -> None:
    session = open_(compiled)
    first = run(session, [images[:1]])[0].copy()
    other = run(session, [images[1:2]])[0].copy()
    assert not np.array_equal(first, other)
    assert np.array_equal(run(session, [images[:1]])[0], first)


def test_outputs_stay_as_they_were_when_the_session_runs_again(compiled: Artifact, images: Any) -> None:
    session = open_(compiled)
    native = session.invoke(session.encode([images[:1]]))
    before = native[0].copy()
    session.invoke(session.encode([images[1:2]]))
    assert np.array_equal(native[0], before)


def test_a_file_gives_the_same_as_its_bytes(compiled: Artifact, images: Any, tmp_path: Path) -> None:
    compiled.unpack(tmp_path)
    from_file = open_session(compiled.details["runtime"], tmp_path / compiled.details["model"], threads=1)
    assert np.array_equal(run(from_file, [images[:1]])[0], run(open_(compiled), [images[:1]])[0])


def test_more_threads_give_the_same_up_to_rounding(compiled: Artifact, images: Any) -> None:
    (one,), (two,) = (run(open_(compiled, threads), [images[:1]]) for threads in (1, 2))
    assert one == pytest.approx(two, abs=1e-4)


def test_the_engine_tells_its_version(compiled: Artifact) -> None:
    name, _, number = open_(compiled).version.partition(" ")
    assert name in ("onnxruntime", "ai-edge-litert")
    assert number[0].isdigit()


def test_every_layer_has_name_type_compute_unit_and_time(compiled: Artifact, images: Any) -> None:
    layers = open_(compiled).layers([images[:1]], 20)
    assert len(layers) >= 6
    assert len({layer["name"] for layer in layers}) == len(layers)
    assert {layer["compute_unit"] for layer in layers} == {"cpu"}
    assert all(layer["time_ms"] >= 0 for layer in layers)
    assert 0 < sum(layer["time_ms"] for layer in layers) < 1000


def test_the_convolutions_are_among_the_layers(compiled: Artifact, images: Any) -> None:
    types = [layer["type"].lower() for layer in open_(compiled).layers([images[:1]], 5)]
    assert sum("conv" in kind for kind in types) == 3


def test_only_a_quantized_tflite_model_takes_integers(compiled: Artifact, images: Any) -> None:
    (native,) = open_(compiled).encode([images[:1]])
    integers = compiled.details["runtime"] == "tflite" and compiled.details["precision"] == "w8a8"
    assert native.dtype == (np.int8 if integers else np.float32)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="no session for the runtime 'qnn'"):
        open_session("qnn", b"", threads=1)
