"""Quantization on a Hub instead of AIMET's, up to the numbers of the scorecard."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.types import Artifact, Failure, Precision, RuntimeName, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub.faults import Fault
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from tests.conftest import made
from tests.devices.aihub.conftest import Hub, compile_there, target

IMAGES = 20


@pytest.fixture
def quantized(hub: Hub, device: DeviceSpec, weights: Artifact, spec: ModelSpec, small_split: Split) -> Any:
    """Return a function that lets the hub quantize the trained network."""

    def make(precision: Precision = Precision.W8A8, like: ModelSpec = spec, **more: Any) -> Any:
        parameters = QuantizeParameters(where="hub", calibration_images=IMAGES, **more)
        fixed: dict[str, Any] = {"spec": like, "precision": precision, "hexagon": "v73", "high": "float"}
        fixed |= {"subject": f"digits/{precision}", "hub_folder": device.folder}
        return quantize(small_split, weights, Path("unused"), parameters, **fixed)

    return make


def exported(simulation: Artifact, weights: Artifact, spec: ModelSpec, split: Split, precision: Precision) -> Artifact:
    from edge_pipeline.pipelines.export.nodes import export
    from edge_pipeline.pipelines.export.parameters import ExportParameters

    fixed = {"spec": spec, "precision": precision, "subject": "digits"}
    found: Artifact = made(export(split, weights, simulation, ExportParameters(check_images=16), **fixed))
    return found


def test_it_is_the_exported_model_and_is_measured_like_one_of_aimet(
    hub: Hub, device: DeviceSpec, quantized: Any, weights: Artifact, spec: ModelSpec, small_split: Split
) -> None:
    from edge_pipeline.pipelines.validate.nodes import validate
    from edge_pipeline.pipelines.validate.parameters import ValidateParameters

    simulation = made(quantized())
    told = simulation.details["hub"]
    assert told["page"] == f"{hub.address}/jobs/{told['job']}/"
    assert (simulation.kind, simulation.parents) == ("simulation", weights.lineage)
    assert len(simulation.details["calibration"]) == IMAGES
    source = exported(simulation, weights, spec, small_split, Precision.W8A8)
    assert source.files["model.onnx"] == simulation.files["model.onnx"]
    assert source.details["quantization"]["techniques"] == ["AI Hub"]
    assert source.details["quantization"]["hub"] == told
    assert source.details["opset"] == 17
    assert 20 < source.details["onnx_vs_float_sqnr_db"] < 80, "it is quantized, and well"
    assert not {"qairt.onnx", "qairt.encodings", "model.pt2"} & set(source.files)

    wanted = target(precision="w8a8")
    compiled = compile_there(device, source, wanted)
    fixed = {"spec": spec, "device": DeviceSpec(kind="host"), "target": wanted, "subject": wanted.name}
    found, _ = validate(small_split, source, compiled, ValidateParameters(), **fixed)
    assert isinstance(found, Validation), found
    assert found.metrics["accuracy"] > 0.9
    assert found.metrics["sqnr_float_db"] > 20
    assert "sqnr_sim_db" not in found.metrics, "there is no simulation"


def test_only_inputs_are_sent_and_only_once(hub: Hub, quantized: Any, digits: Any) -> None:
    from edge_pipeline.models import recipes
    from edge_pipeline.models.spec import ClassifierSpec
    from edge_pipeline.pipelines.loading import read

    first, second = made(quantized()), made(quantized())
    assert first == second
    assert len(hub.jobs()) == 1
    assert hub.count("datasets") == 1
    assert hub.count("models") == 2, "the float one and the quantized one"
    (path,) = (hub.folder / "datasets").glob("*/file")
    interface = recipes.interface(ClassifierSpec(recipe="classifier"))
    with h5py.File(path) as file:
        assert list(file) == ["data"]
        (group,) = file["data"].values()
        assert set(group) == {f"batch_{index}" for index in range(IMAGES)}
        for index, number in enumerate(first.details["calibration"]):
            (expected,), _ = read(digits, interface, number)
            np.testing.assert_array_equal(group[f"batch_{index}"][0], expected)


def test_other_integers_are_another_job(hub: Hub, quantized: Any) -> None:
    import onnx

    widths = {}
    for precision in (Precision.W8A16, Precision.W4A8, Precision.W4A16):
        model = onnx.load_from_string(made(quantized(precision)).files["model.onnx"])
        widths[precision] = {
            onnx.TensorProto.DataType.Name(one.data_type)
            for one in model.graph.initializer
            if one.name.endswith(("_zero_point", "_quantized"))
        } - {"INT32"}
    assert widths == {
        Precision.W8A16: {"INT8", "UINT16"},
        Precision.W4A8: {"INT4", "UINT8"},
        Precision.W4A16: {"INT4", "UINT16"},
    }
    assert len(hub.jobs()) == 3
    assert hub.count("datasets") == 1, "the same images"


def test_an_answer_that_is_lost_makes_no_second_job(hub: Hub, quantized: Any) -> None:
    hub.faults.add(Fault("POST /api/v1/jobs", 504, after=True))
    assert made(quantized()).files
    assert hub.faults.take("POST", "/api/v1/jobs") is None, "it happened"
    assert len(hub.jobs()) == 1


def test_a_model_that_must_stay_here_is_not_sent(hub: Hub, quantized: Any, spec: ModelSpec) -> None:
    found = quantized(like=spec.model_copy(update={"on_premises": True}))
    assert isinstance(found, Failure)
    assert "`on_premises: true` keeps weights and images here" in found.message
    assert hub.count("models") == hub.count("datasets") == 0


def test_images_beyond_what_is_sent_are_told_with_a_number_that_fits(
    hub: Hub, quantized: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_pipeline.devices.aihub.quantizing.LARGEST_BYTES", 15 * 64 * 4)
    found = quantized()
    assert isinstance(found, Failure)
    assert "lower `quantize.calibration_images` to 15" in found.message
    assert hub.count("models") == hub.count("datasets") == 0


def test_a_failed_job_is_told_with_its_page(hub: Hub, quantized: Any) -> None:
    found = quantized(hub_options="--range_scheme none")
    assert isinstance(found, Failure)
    assert "digits/w8a8: the job j" in found.message and f"Its page: {hub.address}/jobs/j" in found.message
    assert "'--range_scheme' is not supported by this hub" in found.message


@pytest.mark.parametrize(
    ("change", "problem"),
    [(lambda given: given, "has no quantized operators"), (lambda given: b"no model", "is no ONNX model")],
)
def test_what_is_not_the_network_quantized_is_refused(
    hub: Hub, quantized: Any, monkeypatch: pytest.MonkeyPatch, change: Any, problem: str
) -> None:
    from edge_pipeline.hub import quantizing

    monkeypatch.setattr(quantizing, "quantized", lambda source, *_: change(source.files["model.onnx"]))
    found = quantized()
    assert isinstance(found, Failure)
    assert problem in found.message


def test_a_network_with_another_output_is_refused(hub: Hub, quantized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    from edge_pipeline.hub import quantizing

    work = quantizing.quantized

    def renamed(*given: Any) -> bytes:
        model = onnx.load_from_string(work(*given))
        old = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["other" if one == old else one for one in node.output]
        model.graph.output[0].name = "other"
        return bytes(model.SerializeToString())

    monkeypatch.setattr(quantizing, "quantized", renamed)
    found = quantized()
    assert isinstance(found, Failure)
    assert "has the outputs other float32 (1, 10), not " in found.message


def test_what_needs_a_simulation_says_that_there_is_none(quantized: Any, weights: Artifact, spec: ModelSpec) -> None:
    from edge_pipeline.pipelines.quantize.nodes import restored_simulation

    with pytest.raises(QuantizationError, match="there is no AIMET simulation of it"):
        restored_simulation(spec, weights, made(quantized()))


def test_mixed_precision_is_not_to_be_had(quantized: Any) -> None:
    found = quantized(Precision.MIXED)
    assert isinstance(found, Failure)
    assert "AI Hub quantizes all layers alike, to w8a8, w8a16, w4a8, w4a16" in found.message


def test_litert_of_this_machine_gets_no_program_but_ai_hub_its_onnx_file(
    hub: Hub, quantized: Any, weights: Artifact, spec: ModelSpec, small_split: Split
) -> None:
    tflite = spec.model_copy(update={"targets": spec.targets.model_copy(update={"runtimes": (RuntimeName.TFLITE,)})})
    assert Target("", "host", RuntimeName.TFLITE, Precision.W8A8) in tflite.expand("")
    source = exported(made(quantized()), weights, tflite, small_split, Precision.W8A8)
    assert set(source.files) == {"model.onnx", "references.npz"}
