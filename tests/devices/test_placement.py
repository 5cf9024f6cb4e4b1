"""Which compute unit runs which layer."""

import pytest

from edge_pipeline.core.types import Layer
from edge_pipeline.devices.summary import placement


def layers(npu: int, cpu: int, fused: int = 0) -> list[Layer]:
    on = [Layer(f"conv{index}", "Conv", "npu", fused=index < fused) for index in range(npu)]
    return on + [Layer(f"erf{index}", "Erf", "cpu") for index in range(cpu)]


@pytest.mark.parametrize(
    ("npu", "cpu", "expected"),
    [(10, 0, 100.0), (9, 1, 90.0), (1, 3, 25.0), (0, 5, 0.0)],
)
def test_the_share_on_the_npu_is_in_percent_of_the_layers(npu: int, cpu: int, expected: float) -> None:
    metrics, _ = placement(layers(npu, cpu))
    assert metrics["npu_layers_pct"] == pytest.approx(expected)


def test_fused_layers_are_counted_and_are_where_the_one_is_that_does_their_work() -> None:
    assert placement(layers(4, 0, fused=3))[0] == {"npu_layers_pct": 100.0, "fused_layers": 3.0}


def test_a_layer_that_fell_off_the_npu_is_named_with_its_type() -> None:
    _, warnings = placement(layers(3, 1))
    assert warnings == ["1 of 4 layers are not on the NPU: erf0 (Erf)"]


def test_of_many_layers_the_first_five_are_named() -> None:
    (warning,) = placement(layers(3, 7))[1]
    assert warning.startswith("7 of 10 layers are not on the NPU: erf0 (Erf), ")
    assert warning.endswith("erf4 (Erf) and 2 more")


def test_a_device_that_runs_all_on_its_cpu_is_nothing_to_warn_of() -> None:
    metrics, warnings = placement(layers(0, 5))
    assert (metrics, warnings) == ({"npu_layers_pct": 0.0}, [])


def test_all_on_the_npu_is_nothing_to_warn_of() -> None:
    assert placement(layers(5, 0))[1] == []


def test_without_a_list_of_layers_nothing_is_known() -> None:
    assert placement([]) == ({}, [])
