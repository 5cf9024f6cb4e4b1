"""The numbers that AIMET chose are in every file that is made from its simulation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.export import to_encodings, to_onnx
from edge_pipeline.quantization.layout import Layout

NAMES = (["image"], ["logits"])
Numbers = dict[str, list[tuple[float, ...]]]


def distinct(found: list[tuple[Any, ...]]) -> list[tuple[float, ...]]:
    """Return rows of numbers sorted, equal ones once: a shared quantizer is written wherever it is used."""
    rows: list[tuple[float, ...]] = []
    for one in sorted(tuple(float(number) for number in row) for row in found):
        if not rows or one != pytest.approx(rows[-1], rel=1e-6):
            rows.append(one)
    return rows


def of_simulation(simulation: Any) -> Numbers:
    """Return (scale, zero point) of the activations and the scales of the weights."""
    found = ptq.encodings(simulation)
    weights = [tuple(one["scale"]) for name, one in found.items() if "param_quantizers" in name]
    activations = [
        (one["scale"][0], -one["offset"][0]) for name, one in found.items() if "param_quantizers" not in name
    ]
    return {"weights": distinct(weights), "activations": distinct(activations)}


def of_onnx(data: bytes) -> Numbers:
    graph = onnx.load_from_string(data).graph
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    weights, activations = [], []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            activations.append((constants[node.input[1]].item(), float(constants[node.input[2]].item())))
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            scale, integers = constants[node.input[1]], constants[node.input[0]]
            if integers.ndim > 1:
                weights.append(tuple(scale.ravel().tolist()))
    return {"weights": distinct(weights), "activations": distinct(activations)}


def of_encodings(data: bytes) -> Numbers:
    found = json.loads(data)
    if found["version"] == "2.0.0":
        rows = [
            (one["output_dtype"], np.ravel(one["y_scale"]).tolist(), one.get("y_zero_point", 0))
            for one in found["encodings"]
        ]
        weights = [tuple(scale) for kind, scale, _ in rows if kind in ("int4", "int8")]
        activations = [(scale[0], zero) for kind, scale, zero in rows if kind.startswith("uint")]
    else:
        weights = [tuple(one["scale"]) for one in found["param_encodings"] if one["bw"] < 32]
        activations = [(one["scale"][0], -one["offset"][0]) for one in found["activation_encodings"]]
    return {"weights": distinct(weights), "activations": distinct(activations)}


def same(found: Numbers, expected: Numbers) -> bool:
    return all(
        len(found[key]) == len(expected[key])
        and all(one == pytest.approx(other, rel=1e-6) for one, other in zip(found[key], expected[key], strict=True))
        for key in ("weights", "activations")
    )


@pytest.fixture(scope="module")
def simulated(sim: Any, weights: Artifact, spec: ModelSpec, images: Any) -> Callable[[str], Any]:
    """Return a function that returns a calibrated simulation of a precision."""
    made = {"w8a8": sim}

    def make(precision: str) -> Any:
        if precision not in made:
            inputs = recipes.dummy_inputs(spec)
            prepared = ptq.prepare(recipes.restore(spec, weights), inputs, equalize=True)
            bits = Precision(precision).bits
            assert bits
            made[precision] = ptq.simulate(prepared, inputs, Layout(*bits))
            ptq.calibrate(made[precision], [(torch.from_numpy(images),)])
            made[precision].model.eval()
        return made[precision]

    return make


every = pytest.mark.parametrize("precision", ["w8a8", "w8a16", "w4a8", "w4a16"])


@every
def test_the_onnx_file_has_the_numbers_of_the_simulation(
    simulated: Callable[[str], Any], spec: ModelSpec, precision: str
) -> None:
    simulation = simulated(precision)
    data = to_onnx(simulation.model, recipes.dummy_inputs(spec), *NAMES, opset=21, quantized=True)
    expected = of_simulation(simulation)
    assert len(expected["weights"]) == 4
    assert same(of_onnx(data), expected)


@every
@pytest.mark.parametrize("version", ["2.0.0", "1.0.0"])
def test_the_encodings_file_has_the_numbers_of_the_simulation(
    simulated: Callable[[str], Any], spec: ModelSpec, precision: str, version: str
) -> None:
    simulation = simulated(precision)
    model, found = to_encodings(simulation, recipes.dummy_inputs(spec), *NAMES, opset=17, version=version)
    assert same(of_encodings(found), of_simulation(simulation))
    graph = onnx.load_from_string(model).graph
    assert {node.op_type for node in graph.node}.isdisjoint({"QuantizeLinear", "DequantizeLinear"})
    assert [one.name for one in (*graph.input, *graph.output)] == ["image", "logits"]


@every
def test_onnx_and_encodings_name_the_same_tensors(
    simulated: Callable[[str], Any], spec: ModelSpec, precision: str
) -> None:
    inputs = recipes.dummy_inputs(spec)
    model, data = to_encodings(simulated(precision), inputs, *NAMES, opset=17, version="2.0.0")
    graph = onnx.load_from_string(model).graph
    known = {name for node in graph.node for name in (*node.input, *node.output)}
    assert {one["name"] for one in json.loads(data)["encodings"]} <= known


@every
def test_the_integers_of_the_weights_are_the_simulation_s(
    simulated: Callable[[str], Any], spec: ModelSpec, precision: str
) -> None:
    simulation = simulated(precision)
    data = to_onnx(simulation.model, recipes.dummy_inputs(spec), *NAMES, opset=21, quantized=True)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(data).graph.initializer}
    checked = 0
    for name, layer in simulation.model.named_modules():
        quantizer = dict(getattr(layer, "param_quantizers", {})).get("weight")
        if quantizer is not None:
            with torch.no_grad():
                expected = torch.round(quantizer(layer.weight) / quantizer.get_scale()).numpy()
            assert np.array_equal(constants[f"{name}.weight_q"].astype(np.int32), expected.astype(np.int32))
            checked += 1
    assert checked == 4


@pytest.mark.slow
def test_the_litert_file_has_the_numbers_of_the_simulation(
    litert_compiled: dict[Precision, Artifact], sim: Any, tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    artifact = litert_compiled[Precision.W8A8]
    path = tmp_path / "model.tflite"
    path.write_bytes(artifact.files[artifact.details["model"]])
    interpreter = Interpreter(str(path))
    weights, activations = [], []
    for tensor in interpreter.get_tensor_details():
        scales, zeros = tensor["quantization_parameters"]["scales"], tensor["quantization_parameters"]["zero_points"]
        if tensor["dtype"] is not np.int8 or not len(scales):
            continue
        if len(scales) > 1:
            weights.append(tuple(scales.tolist()))
        else:
            activations.append((float(scales[0]), float(zeros[0]) + 128))
    assert same({"weights": distinct(weights), "activations": distinct(activations)}, of_simulation(sim))
