import time
from collections.abc import Callable
from typing import Any

from edge_pipeline.devices.agent.heat import find_heat
from edge_pipeline.devices.agent.sustained import sustain


def test_there_is_a_point_a_second_with_the_median_of_that_second(machine: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def invoke(native: Any) -> None:
        seen.append(native)
        time.sleep(0.01 if len(seen) < 60 else 0.03)

    found = sustain(invoke, ["a", "b"], 2.0, find_heat(machine("clocks").root))
    points = found["points"]
    assert seen[:4] == ["a", "b", "a", "b"]
    assert len(points["seconds"]) == 2
    assert 1.0 <= points["seconds"][0] < 1.2
    assert 10 <= points["p50_ms"][0] < 20 < points["p50_ms"][1]
    assert points["frequency_mhz"] == [2000.0, 2000.0]
    assert points["temperature_c"] == [None, None]
    assert (found["frequency"], found["temperature"], found["throttled"]) == ("policy4", None, False)


def test_an_inference_longer_than_a_point_is_a_point(machine: Callable[..., Any]) -> None:
    found = sustain(lambda _: time.sleep(1.3), [0], 1.0, find_heat(machine("vm").root))
    assert len(found["points"]["p50_ms"]) == 1
    assert found["throttled"] is None
