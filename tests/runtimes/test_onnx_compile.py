from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.session import open_session, run

both = pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.W8A8])


def outputs(model: bytes, images: Any) -> Any:
    session = open_session("onnx", model, threads=1)
    return np.concatenate([run(session, [image[None]])[0] for image in images])


@both
def test_the_compiled_model_gives_what_the_exported_one_gives(
    exported: dict[Precision, Artifact], onnx_compiled: dict[Precision, Artifact], images: Any, precision: Precision
) -> None:
    source, compiled = exported[precision].files["model.onnx"], onnx_compiled[precision].files["model.onnx"]
    assert sqnr_db(outputs(source, images), outputs(compiled, images)) > 100


@both
def test_the_compiled_model_holds_portable_operators_only(
    onnx_compiled: dict[Precision, Artifact], precision: Precision
) -> None:
    model = onnx.load_from_string(onnx_compiled[precision].files["model.onnx"])
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    onnx.checker.check_model(model)


@both
def test_the_artifact_says_what_it_is_and_what_it_was_made_from(
    exported: dict[Precision, Artifact], onnx_compiled: dict[Precision, Artifact], precision: Precision
) -> None:
    compiled = onnx_compiled[precision]
    assert compiled.kind == "compiled"
    told = {"model": "model.onnx", "runtime": "onnx", "precision": precision.value}
    assert compiled.details == {**told, "interface": exported[precision].details["interface"]}
    assert compiled.parents == exported[precision].lineage
    assert (compiled.inputs, compiled.outputs) == (exported[precision].inputs, exported[precision].outputs)
    assert set(compiled.tools) >= {"onnxruntime", "torch"}


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_broken_model_is_refused_naming_the_target(exported: dict[Precision, Artifact], share: float) -> None:
    whole = exported[Precision.FLOAT]
    data = whole.files["model.onnx"]
    broken = replace(whole, files={"model.onnx": data[: int(share * len(data))]})
    target = Target("digits", "host", RuntimeName.ONNX, Precision.FLOAT)
    with pytest.raises(CompileError, match="digits@host/onnx/float: ONNX Runtime refuses the model"):
        runtime(RuntimeName.ONNX).compile(broken, target, CompileSettings(60))
