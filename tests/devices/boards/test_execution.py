"""A board computes with what its entry names: Qualcomm's emulator behind SSH stands in for an NPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core import progress
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Precision, Profile, RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec, abilities, connect
from tests.devices.boards.asking import SHORT, TARGET, outputs, profile, refused
from tests.runtimes.engines import built_delegate, inputs, onnx_artifact, tflite_artifact

NPU = {"chip": "QCS8550", "virtual": True}


def made(board: DeviceSpec, **changes: Any) -> DeviceSpec:
    return DeviceSpec.model_validate({**board.model_dump(exclude_unset=True), "retry": {"attempts": 1}, **changes})


@pytest.fixture(scope="module")
def without_onnx(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module's folder that keeps the package onnx from being imported: no board has it."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "onnx.py").write_text("raise ModuleNotFoundError(\"No module named 'onnx'\", name='onnx')\n")
    return str(folder)


class Notes:
    """Listens to the progress of steps."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, str]] = []

    def started(self, step: str, total: int) -> None: ...
    def entered(self, step: str, state: str) -> None: ...
    def ended(self, step: str) -> None: ...
    def measured(self, step: str, index: int, metrics: Any) -> None: ...
    def advanced(self, step: str, done: int, note: str) -> None:
        self.heard.append((step, done, note))


def test_a_context_binary_runs_on_the_npu_of_a_board(
    wrapped: Callable[..., DeviceSpec], without_onnx: str, qnn_compiled: Artifact, images: Any
) -> None:
    runtimes = ["qnn_context_binary"]
    board = wrapped(agent=f"export PYTHONPATH={without_onnx}", **NPU, runtimes=runtimes)
    emulator = DeviceSpec(kind="htp_emulator", chip="QCS8550")
    np.testing.assert_array_equal(outputs(board, qnn_compiled, images[:3]), outputs(emulator, qnn_compiled, images[:3]))
    found = profile(board, qnn_compiled, images[:4])
    here = connect(emulator).profile(qnn_compiled, (images[:4],), SHORT, TARGET)
    assert {one.compute_unit for one in found.layers} == {"npu"}
    assert found.metrics["npu_layers_pct"] == 100
    assert [(one.name, one.fused) for one in found.layers] == [(one.name, one.fused) for one in here.layers]
    assert found.runtime_version.startswith("onnxruntime-qnn 2.")
    assert any("emulated" in one for one in found.warnings)


def test_a_precompiled_model_runs_on_the_npu_of_a_board(
    board: DeviceSpec, compile_qnn: Callable[..., Artifact], images: Any
) -> None:
    artifact = compile_qnn(engine=RuntimeName.PRECOMPILED_QNN_ONNX)
    emulator = DeviceSpec(kind="htp_emulator", chip="QCS8550")
    spec = made(board, **NPU, runtimes=["precompiled_qnn_onnx"])
    np.testing.assert_array_equal(outputs(spec, artifact, images[:2]), outputs(emulator, artifact, images[:2]))


def test_what_was_compiled_for_another_chip_is_refused(board: DeviceSpec, qnn_compiled: Artifact, images: Any) -> None:
    other = made(board, chip="QCS6490", virtual=True, runtimes=["qnn_context_binary"])
    with pytest.raises(DeviceError, match="compiled for QCS8550, the device is QCS6490"):
        outputs(other, qnn_compiled, images[:1])


def test_an_onnx_model_on_the_npu_names_what_fell_back_and_a_run_is_told_as_it_goes_on(board: DeviceSpec) -> None:
    spec, notes = made(board, **NPU, execution={"onnx": {"compute_unit": "npu"}}), Notes()
    progress.listeners.append(notes)
    try:
        found: Profile = connect(spec).profile(onnx_artifact(), inputs(), SHORT, TARGET)
    finally:
        progress.listeners.remove(notes)
    assert {one.name: one.compute_unit for one in found.layers}.items() >= {"conv": "npu", "erf": "cpu"}.items()
    assert any("layers are not on the NPU: erf (Erf)" in one for one in found.warnings)
    assert found.runtime_version.endswith("QNNExecutionProvider on npu")
    told = [(done, note) for step, done, note in notes.heard if step == f"{TARGET}: profile" and note]
    for repeat in (0, 1):
        assert any(done == repeat and note.startswith("measuring ") for done, note in told)


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ({"provider": "XNNPACK"}, "there is no XNNPACKExecutionProvider on this machine: its ONNX Runtime"),
        ({"compute_unit": "gpu"}, "QNNExecutionProvider takes none of the 4 nodes of the model on the gpu"),
    ],
)
def test_a_provider_that_the_board_lacks_is_one_clear_error(
    board: DeviceSpec, engine: dict[str, Any], why: str
) -> None:
    told = refused(lambda spec: outputs(spec, onnx_artifact(), inputs(1)[0]), made(board, execution={"onnx": engine}))
    assert why in told
    assert "edge_pipeline." not in told


def test_a_delegate_by_its_path_on_the_board(board: DeviceSpec, lacking: Any, needs: Any, tmp_path: Path) -> None:
    needs("litert_torch")
    artifact, library = tflite_artifact(tmp_path), str(built_delegate(tmp_path, lacking))
    plain, none, npu = (
        outputs(made(board, execution={"tflite": engine}), artifact, inputs(2)[0])
        for engine in ({}, {"delegate": "none"}, {"compute_unit": "npu", "delegate": library})
    )
    np.testing.assert_allclose(none, plain, atol=1e-5)
    np.testing.assert_allclose(npu, plain, atol=1e-5)
    missing = made(board, execution={"tflite": {"compute_unit": "npu", "delegate": f"{library}.1"}})
    told = refused(lambda spec: outputs(spec, artifact, inputs(2)[0]), missing)
    assert f"the delegate {library}.1 is not on this machine" in told


def test_a_power_sensor_that_the_board_lacks_is_one_clear_error(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    told = refused(
        lambda spec: profile(spec, onnx_compiled[Precision.W8A8], images[:2]), made(board, power_sensor="x*")
    )
    assert "there is no power sensor 'x*' on this machine; " in told


def test_a_board_tells_its_providers_delegates_and_sensors(board: DeviceSpec) -> None:
    assert abilities(board) == abilities(DeviceSpec(kind="host"))
    assert "CPUExecutionProvider" in abilities(board)["providers"]


def test_abilities_that_are_none_are_an_error(board: DeviceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_: Any, **__: Any) -> bytes:
        return b'{"providers": "all", "delegates": [], "power_sensors": []}'

    monkeypatch.setattr("edge_pipeline.devices.boards.board.Board.run", run)
    with pytest.raises(DeviceError, match="the agent's answer to 'describe' is none"):
        abilities(board)
