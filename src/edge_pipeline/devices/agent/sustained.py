"""Run a model for long, to see what is left of its speed when the device is warm."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from edge_pipeline.devices.agent.events import Events
from edge_pipeline.devices.agent.heat import Heat, fastest, hottest, throttled

MOST_POINTS = 600
SHORTEST_POINT_S = 1.0


def sustain(
    invoke: Callable[[Any], object], inputs: Sequence[Any], seconds: float, heat: Heat, events: Events | None = None
) -> dict[str, Any]:
    """Run `invoke` on `inputs` in turn for so many seconds and return a curve over time.

    The sensors are read, and `events` told of, between two inferences, once a point, outside of what is timed.

    Returns:
        `points` of at least a second, at most 600: `seconds` (its end), `p50_ms`, `temperature_c` and `frequency_mhz`
        (`None` where not readable); `temperature` and `frequency`, the names of their sensors; `throttled` and
        `throttled_why`.
    """
    length = int(1e9 * max(SHORTEST_POINT_S, seconds / MOST_POINTS))
    before = heat.read()
    begin = now = time.perf_counter_ns()
    runs = 0
    ends: list[float] = []
    medians: list[float] = []
    snapshots = []
    while now - begin < seconds * 1e9:
        times: list[float] = []
        point_end = now + length
        while now < point_end:
            native = inputs[runs % len(inputs)]
            tick = time.perf_counter_ns()
            invoke(native)
            now = time.perf_counter_ns()
            times.append((now - tick) / 1e6)
            runs += 1
        ends.append((now - begin) / 1e9)
        medians.append(statistics.median(times))
        snapshots.append(heat.read())
        if events:
            events.tell("sustained run", ends[-1], seconds, "s")
    zone, policy = hottest(snapshots), fastest(snapshots)
    slow, why = throttled(heat, before, snapshots)
    return {
        "points": {
            "seconds": ends,
            "p50_ms": medians,
            "temperature_c": [one.temperatures.get(zone or "") for one in snapshots],
            "frequency_mhz": [one.frequencies.get(policy or "") for one in snapshots],
        },
        "temperature": zone,
        "frequency": policy,
        "throttled": slow,
        "throttled_why": why,
    }
