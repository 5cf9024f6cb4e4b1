"""Validation on the emulator of an NPU: a sample of the test part, and whether its numbers can be believed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Failure, Precision, RuntimeName, Split, Target, Validation
from edge_pipeline.devices.htp_emulator import HtpEmulator
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.scorecard.nodes import row
from edge_pipeline.pipelines.validate import emulation, nodes
from edge_pipeline.pipelines.validate.outputs import kept
from edge_pipeline.pipelines.validate.parameters import ValidateParameters
from edge_pipeline.tasks.confidence import wilson_95

TARGET = Target("digits", "npu", RuntimeName.QNN_CONTEXT_BINARY, Precision.W8A8)
Validate = Callable[..., tuple[Validation, Artifact]]


@pytest.fixture
def validate(
    spec: ModelSpec,
    small_split: Split,
    exported: dict[Precision, Artifact],
    qnn_compiled: Artifact,
    monkeypatch: pytest.MonkeyPatch,
) -> Validate:
    """Return a function that validates with so many images, most of them in one process."""
    monkeypatch.setattr(emulation, "BATCH", 50)

    def run(images: int = 20, compiled: Artifact = qnn_compiled, **changes: Any) -> tuple[Validation, Artifact]:
        found = nodes.validate(
            small_split,
            exported[Precision.W8A8],
            compiled,
            ValidateParameters(emulated_images=images),
            spec=spec.model_copy(update=changes),
            device=DeviceSpec(kind="htp_emulator", chip="QCS8550"),
            target=TARGET,
            subject=TARGET.name,
        )
        assert not isinstance(found[0], Failure), found[0]
        return found

    return run


@pytest.fixture
def changed_outputs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, Any], Any]], None]:
    """Return a function that lets outputs of the emulator be changed, given the number of the call and the outputs."""

    def install(change: Callable[[int, Any], Any]) -> None:
        original, calls = HtpEmulator.infer, iter(range(100))

        def infer(self: HtpEmulator, *arguments: Any, **settings: Any) -> Iterator[Any]:
            number = next(calls)
            for outputs in original(self, *arguments, **settings):
                yield tuple(change(number, one) for one in outputs)

        monkeypatch.setattr(HtpEmulator, "infer", infer)

    return install


@pytest.mark.parametrize(("asked", "used"), [(20, 20), (2, 4), (1000, 100)])
def test_a_sample_of_the_test_part_is_run_with_the_pictures_that_are_drawn(
    validate: Validate, asked: int, used: int
) -> None:
    found, drawn = validate(asked)
    assert found.samples == used
    assert np.sum(found.details["confusion"]) == used
    assert found.details["test_images"] == 100
    assert drawn.files["predictions.png"].startswith(b"\x89PNG")


def test_smaller_batches_give_the_same(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = validate(6)
    monkeypatch.setattr(emulation, "BATCH", 4)
    assert validate(6)[0] == whole


def test_the_accuracy_comes_with_its_confidence_interval(validate: Validate) -> None:
    found, _ = validate(50)
    right = int(np.trace(found.details["confusion"]))
    metrics = found.metrics
    assert metrics["accuracy"] == right / 50 > 0.85
    assert (metrics["accuracy_low"], metrics["accuracy_high"]) == wilson_95(right, 50)
    warning = row(TARGET, [found])["warnings"]
    assert warning.startswith("accuracy on 50 of 100 test images, ")
    assert warning.endswith("with 95% confidence")


def test_the_whole_test_part_needs_no_interval(validate: Validate) -> None:
    found, _ = validate(100)
    assert not {"accuracy_low", "accuracy_high"} & set(found.metrics)
    assert row(TARGET, [found])["warnings"] == ""


def test_the_same_images_are_taken_again(validate: Validate) -> None:
    assert validate()[0] == validate()[0]


def test_the_emulator_agrees_with_simulation_and_onnx_runtime(validate: Validate) -> None:
    found, _ = validate(4)
    assert found.metrics["sqnr_sim_db"] > 24
    assert found.metrics["sqnr_onnx_db"] > 24
    assert found.metrics["sqnr_float_db"] > 20
    assert found.metrics["top1_agreement"] == 1
    assert found.details["unverified"] == ""
    assert "diverges_at" not in found.details


def test_a_metric_of_the_users_own_is_of_the_sample(
    validate: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "def f(predictions, truths):\n    return {'seen': len(list(truths))}\n"
    (tmp_path / "own_count_on_emulator.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    found, _ = validate(10, metric="own_count_on_emulator:f")
    assert found.metrics["seen"] == 10


def nothing_is_measured(found: Validation, drawn: Artifact) -> bool:
    assert not {"accuracy", "top1", "accuracy_low", "accuracy_high"} & set(found.metrics)
    assert {"sqnr_float_db", "sqnr_sim_db", "sqnr_onnx_db"} <= set(found.metrics)
    return found.samples == 0 and set(drawn.files) == {"outputs.npz"}


def test_an_emulator_that_contradicts_itself_is_unverified(validate: Validate, changed_outputs: Any) -> None:
    changed_outputs(lambda call, outputs: outputs + (call == 1) * 1e-3)
    found, drawn = validate()
    assert found.details["unverified"] == "two runs of the emulator on the same image give different outputs"
    assert nothing_is_measured(found, drawn)
    assert row(TARGET, [found])["warnings"].startswith("unverified, so there is no accuracy: two runs")


def test_an_emulator_that_contradicts_onnx_runtime_is_unverified(validate: Validate, changed_outputs: Any) -> None:
    changed_outputs(lambda _, outputs: outputs[:, ::-1])
    found, drawn = validate()
    assert found.details["unverified"].startswith("the emulator and ONNX Runtime agree to ")
    assert "dB are expected of the same integers" in found.details["unverified"]
    assert nothing_is_measured(found, drawn)


def test_the_outputs_of_an_unverified_emulator_are_kept(validate: Validate, changed_outputs: Any) -> None:
    changed_outputs(lambda _, outputs: outputs[:, ::-1])
    _, drawn = validate()
    (logits,) = kept(drawn)
    assert logits.shape == (len(drawn.details["outputs"]), 10)
    assert drawn.details["samples"] == []


def test_a_little_noise_is_no_contradiction(validate: Validate, changed_outputs: Any) -> None:
    changed_outputs(lambda _, outputs: outputs * 1.01)
    found, _ = validate(4)
    assert found.details["unverified"] == ""
    assert "accuracy" in found.metrics


def test_a_binary_of_another_chip_is_a_failure_of_the_target(
    spec: ModelSpec, small_split: Split, exported: dict[Precision, Artifact], compile_qnn: Callable[..., Artifact]
) -> None:
    device = DeviceSpec(kind="htp_emulator", chip="QCS8550")
    fixed = {"spec": spec, "device": device, "target": TARGET, "subject": TARGET.name}
    results = nodes.validate(
        small_split, exported[Precision.W8A8], compile_qnn("QCS6490"), ValidateParameters(), **fixed
    )
    for found in results:
        assert isinstance(found, Failure)
        assert (found.stage, found.traceback) == ("validate", "")
        assert "compiled for QCS6490" in found.message
