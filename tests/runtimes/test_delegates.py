"""LiteRT with XNNPACK, without, and with a delegate from a library; where each operator runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.runtimes.providers import EngineError, replaced
from edge_pipeline.runtimes.session import open_session, run
from tests.runtimes.engines import built_delegate, inputs, tflite_artifact


@pytest.fixture(scope="module")
def model(needs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("litert_torch")
    folder = tmp_path_factory.mktemp("tflite")
    tflite_artifact(folder)
    return folder / "model.tflite"


@pytest.fixture(scope="module")
def library(lacking: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(built_delegate(tmp_path_factory.mktemp("delegate"), lacking))


def opened(model: Path, **engine: Any) -> Any:
    return open_session("tflite", model, threads=1, engine=engine or None)


def on_npu(library: str, **options: str) -> dict[str, Any]:
    return {"compute_unit": "npu", "delegate": library, "options": options}


def test_without_a_delegate_the_kernels_are_litert_s_own(model: Path) -> None:
    plain, usual = opened(model, compute_unit="cpu", delegate="none"), opened(model)
    sample = list(inputs(1))
    np.testing.assert_allclose(run(plain, sample)[0], run(usual, sample)[0], atol=1e-5)
    assert plain.version == f"{usual.version}, no delegate"
    assert {"CONV_2D", "LOGISTIC"} <= {one["type"] for one in plain.layers(sample, 2)}
    assert all(one["name"].startswith("XNNPACK") for one in usual.layers(sample, 2))


def test_a_delegate_computes_its_operators_and_the_others_stay_on_the_cpu(model: Path, library: str) -> None:
    session, sample = opened(model, **on_npu(library)), list(inputs(1))
    np.testing.assert_allclose(run(session, sample)[0], run(opened(model), sample)[0], atol=1e-5)
    placed = {one["type"]: one["compute_unit"] for one in session.layers(sample, 2)}
    assert (placed["LOGISTIC"], placed["CONV_2D"]) == ("npu", "cpu")
    assert session.version.endswith(", libdelegate.so on npu")


def test_a_delegate_that_takes_nothing_is_an_error(model: Path, library: str) -> None:
    with pytest.raises(EngineError, match=r"takes none of the \d operators .* All would run on the CPU"):
        opened(model, **on_npu(library, take="99"))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"delegate": "/nowhere/libx.so"}, "/nowhere/libx.so is not on this machine"),
        ({"delegate": "libm.so.6"}, "libm.so.6 is no library of a LiteRT delegate"),
        ({"delegate": "libnowhere.so"}, "libnowhere.so cannot be loaded"),
        ({"options": {"driver": "1"}}, "the driver of the NPU is missing"),
    ],
)
def test_a_delegate_that_cannot_be_loaded_says_why(
    model: Path, library: str, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(EngineError, match=why):
        opened(model, **{**on_npu(library), **changed})


def test_a_part_that_was_replaced_is_all_between_its_tensors() -> None:
    def one(name: str, taken: list[int], given: list[int]) -> dict[str, Any]:
        return {"op_name": name, "inputs": taken, "outputs": given}

    # 0 -> a -> 1 -> b -> 2 -> c -> 3, with a constant 9; b and c in one part, then d beside it
    own = [one("a", [0], [1]), one("b", [1, 9], [2]), one("c", [2], [3]), one("d", [1], [4])]
    assert replaced(own) == [False] * 4
    assert replaced([*own, one("DELEGATE", [1, 9], [3])]) == [False, True, True, False]
    assert replaced([*own, one("DELEGATE", [0], [1]), one("DELEGATE", [1], [4])]) == [True, False, False, True]
