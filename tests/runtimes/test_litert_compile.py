from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.session import open_session, run

FLOAT = Target("digits", "host", RuntimeName.TFLITE, Precision.FLOAT)
W8A8 = Target("digits", "host", RuntimeName.TFLITE, Precision.W8A8)


@pytest.fixture
def interpreter(litert_compiled: dict[Precision, Artifact]) -> Any:
    """LiteRT's own interpreter with the quantized model."""
    found = Interpreter(model_content=litert_compiled[Precision.W8A8].files["model.tflite"])
    found.allocate_tensors()
    return found


def outputs(artifact: Artifact, images: Any) -> Any:
    session = open_session("tflite", artifact.files["model.tflite"], threads=1)
    return np.concatenate([run(session, [image[None]])[0] for image in images])


@pytest.mark.slow
def test_a_float_model_agrees_with_the_network(
    litert_compiled: dict[Precision, Artifact], net: Any, images: Any
) -> None:
    with torch.no_grad():
        expected = net(torch.from_numpy(images))
    assert sqnr_db(expected, outputs(litert_compiled[Precision.FLOAT], images)) > 80


@pytest.mark.slow
def test_a_quantized_model_agrees_with_the_simulation_better_than_with_the_network(
    litert_compiled: dict[Precision, Artifact], sim: Any, net: Any, images: Any
) -> None:
    found = outputs(litert_compiled[Precision.W8A8], images)
    with torch.no_grad():
        batch = torch.from_numpy(images)
        with_simulation, with_network = (sqnr_db(module(batch), found) for module in (sim.model, net))
    assert with_simulation > 25
    assert with_simulation > with_network


@pytest.mark.slow
def test_a_quantized_model_takes_and_gives_eight_bit_integers(interpreter: Any) -> None:
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (taken["dtype"], given["dtype"]) == (np.int8, np.int8)


@pytest.mark.slow
def test_a_quantized_model_computes_with_integers_only(interpreter: Any) -> None:
    kinds = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert kinds <= {np.int8, np.int32}
    weights = [
        tensor for tensor in interpreter.get_tensor_details() if len(tensor["quantization_parameters"]["scales"]) > 1
    ]
    assert {len(tensor["quantization_parameters"]["scales"]) for tensor in weights} >= {32, 64, 96}


@pytest.mark.slow
def test_a_quantized_model_has_the_scales_of_the_simulation(interpreter: Any, sim: Any) -> None:
    quantizers = {name: module for name, module in sim.model.named_modules() if "quantizers" in name}
    first = next(module for name, module in quantizers.items() if name.endswith("input_quantizers.0") and module)
    last = quantizers["head.output_quantizers.0"]
    for (tensor,), quantizer in (
        (interpreter.get_input_details(), first),
        (interpreter.get_output_details(), last),
    ):
        assert tensor["quantization"][0] == pytest.approx(quantizer.get_scale().item(), rel=1e-5)


@pytest.mark.slow
def test_the_artifact_says_what_it_is_and_what_it_was_made_from(
    exported: dict[Precision, Artifact], litert_compiled: dict[Precision, Artifact]
) -> None:
    compiled = litert_compiled[Precision.W8A8]
    told = {"model": "model.tflite", "runtime": "tflite", "precision": "w8a8"}
    assert compiled.details == {**told, "interface": exported[Precision.W8A8].details["interface"]}
    assert compiled.parents == exported[Precision.W8A8].lineage
    assert set(compiled.tools) >= {"litert-torch", "ai-edge-litert", "aimet-torch"}


def test_a_conversion_over_its_time_limit_is_stopped_naming_the_target(exported: dict[Precision, Artifact]) -> None:
    with pytest.raises(CompileError, match=r"digits@host/tflite/float: .*time limit of 0\.3 s"):
        runtime(RuntimeName.TFLITE).compile(exported[Precision.FLOAT], FLOAT, CompileSettings(0.3))


@pytest.mark.slow
def test_a_broken_program_is_refused_naming_the_target(exported: dict[Precision, Artifact]) -> None:
    broken = replace(exported[Precision.W8A8], files={"model.pt2": b"not a program"})
    with pytest.raises(CompileError, match=r"digits@host/tflite/w8a8: the LiteRT converter failed; .*exit status 1"):
        runtime(RuntimeName.TFLITE).compile(broken, W8A8, CompileSettings(120))
