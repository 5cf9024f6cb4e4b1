"""A session on the NPU's emulator, in a process of its own as always."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact
from edge_pipeline.runtimes.session import dequantize, open_session, quantize

CODE = """
import sys
from pathlib import Path
import numpy as np
from edge_pipeline.runtimes.session import open_session, run
session = open_session("qnn_context_binary", Path("model.bin"), threads=1, soc_model=66)
image = np.load("image.npy")
(taken,) = session.encode([image])
(given,) = session.invoke([taken])
(logits,) = session.decode([given])
np.savez("found.npz", taken=taken, given=given, logits=logits, again=run(session, [image])[0])
Path("version").write_text(session.version)
"""


@pytest.fixture
def found(start_python: Any, tmp_path: Path, images: Any) -> Callable[[Artifact], dict[str, Any]]:
    """Return a function that runs one image step by step."""

    def step_by_step(compiled: Artifact) -> dict[str, Any]:
        compiled.unpack(tmp_path)
        np.save(tmp_path / "image.npy", images[:1])
        process = start_python(CODE)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        with np.load(tmp_path / "found.npz") as arrays:
            return {**arrays, "version": (tmp_path / "version").read_text()}

    return step_by_step


def test_a_float_boundary_needs_no_conversion(found: Any, qnn_compiled: Artifact, images: Any) -> None:
    one = found(qnn_compiled)
    assert np.array_equal(one["taken"], images[:1])
    assert (one["given"].dtype, one["given"].shape) == (np.float32, (1, 10))
    assert np.array_equal(one["given"], one["logits"])
    assert np.array_equal(one["again"], one["logits"])
    assert one["version"].startswith("onnxruntime-qnn 2.")


def test_a_quantized_boundary_is_converted_on_both_sides(
    found: Any, compile_qnn: Callable[..., Artifact], qnn_compiled: Artifact, images: Any
) -> None:
    compiled = compile_qnn(options={"quantize_io": True})
    one, of_float = found(compiled), found(qnn_compiled)
    assert (one["taken"].dtype, one["given"].dtype, one["logits"].dtype) == (np.uint8, np.uint8, np.float32)
    (taken,) = json.loads(compiled.files["tensors.json"])["inputs"]
    back = dequantize(one["taken"], taken["scale"], taken["zero_point"])
    assert np.abs(back - images[:1]).max() <= taken["scale"] / 2 * 1.001
    assert np.array_equal(quantize(back, taken["scale"], taken["zero_point"], taken["dtype"]), one["taken"])
    assert np.allclose(one["logits"], of_float["logits"], atol=1e-5)


def test_a_model_that_is_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no session for the runtime 'qnn_context_binary'"):
        open_session("qnn_context_binary", b"bytes", threads=1)


def test_layers_that_stay_on_the_cpu_are_listed_with_their_type(
    compile_qnn: Callable[..., Artifact], with_operator: Callable[..., Artifact], images: Any
) -> None:
    from edge_pipeline.core.types import RuntimeName
    from edge_pipeline.devices.local import act

    compiled = compile_qnn(engine=RuntimeName.PRECOMPILED_QNN_ONNX, source=with_operator("Erf", "Relu"))
    layers = json.loads(act("layers", compiled, (images[:1],), 1, 60, "digits", soc_model=66, runs=1))
    assert [(one["name"], one["type"]) for one in layers if one["compute_unit"] == "cpu"] == [("inserted", "Erf")]
    assert sum(one["compute_unit"] == "npu" for one in layers) > 3
