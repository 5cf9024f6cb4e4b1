"""Read the sensors again and again while a model runs.

The thread starts before the model is loaded, so that neither its start nor its memory falls into what is timed. The
engine computes without Python's lock, and the thread gives that lock away while it waits and in every call of the
kernel: an inference that ends during a reading is late by some microseconds of Python, at most 50 times a second. Where
there is only one core the reading itself, some ten microseconds, falls into an inference too. Without a sensor there is
no thread. What Android alone tells takes the start of a program: it is read before and after, not meanwhile.

Measured on an x86 server with 50 readings a second: 0.4% of a core for one INA226; 1.1% for a battery, 36 temperatures,
3 frequencies and their limits, and 8 cooling devices. Median latencies of 6 and of 600 microseconds did not move.
"""

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_pipeline.devices.agent.heat import Snapshot, find_heat, frequency, temperature, throttled
from edge_pipeline.devices.agent.sensors import find_power

INTERVAL_S = 0.02
"""Between two readings of the power."""
HEAT_INTERVAL_S = 0.2
"""Between two readings of temperatures and frequencies, which change slowly and are many files."""
SETTLE_S = 0.5
"""After starting, before the idle power is measured: processors leave their high frequencies late."""
LOST_SHARE = 0.1
"""Share of readings that may fail. Above that nothing is reported."""
FEWEST_VALUES = 3
"""A sensor that gave fewer different values while the model ran averages over more time than that."""

Window = tuple[int, int]
"""Begin and end, in nanoseconds of `time.perf_counter_ns`."""


class Sampler:
    """Reads the sensors below `root` from `start` to `stop`; `power_sensor` names one, instead of the best.

    Raises:
        SensorError: there is no such power sensor.
    """

    def __init__(self, root: Path, power_sensor: str | None = None) -> None:
        self.heat = find_heat(root)
        self._power = find_power(root, power_sensor)
        self._powers: list[tuple[int, float | None]] = []
        self._heats: list[Snapshot] = []
        self._first = self.heat.read()
        self._last = self._first
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self._cpu_share = 0.0

    def start(self) -> None:
        """Begin to read."""
        if self._power or self.heat.quick:
            self._thread.start()

    def rest(self, seconds: float) -> Window | None:
        """Let the machine be idle for so long, if there is a power sensor, and return when that was."""
        if self._power is None:
            return None
        time.sleep(SETTLE_S)
        begin = time.perf_counter_ns()
        time.sleep(seconds)
        self._first = self.heat.read()
        return begin, time.perf_counter_ns()

    def stop(self) -> None:
        """Read a last time and end, which takes up to an interval."""
        self._last = self.heat.read()
        self._ended = True
        if self._thread.ident:
            self._thread.join()

    def readings(self, idle: Window | None, load: Window, inferences: int) -> dict[str, Any]:
        """Return what was measured, to be called after `stop`; nothing where there is no sensor.

        Args:
            idle: when the machine was at rest.
            load: when the model ran, from the begin of the first to the end of the last inference.
            inferences: how many.

        Returns:
            Where there is such a sensor: `power`, `temperature`, `frequency` and `throttled`; `problems` in words, and
            `sampler_cpu_pct`, the share of one core that reading took.
        """
        if not (self._power or self.heat):
            return {}
        during = [one for one in self._heats if load[0] <= one.time_ns <= load[1]] or [self._last]
        slow, why = throttled(self.heat, self._first, during, self._last.status)
        problems: list[str] = []
        found: dict[str, Any] = {
            "temperature": temperature(self._first, during, self._last),
            "frequency": frequency(self._first, during),
            "throttled": slow,
            "throttled_why": why,
            "sampler_cpu_pct": 100 * self._cpu_share,
        }
        if self._power:
            found["power"] = self._consumption(idle, load, inferences, problems)
        return {**found, "problems": problems}

    def _consumption(self, idle: Window | None, load: Window, inferences: int, problems: list[str]) -> dict[str, Any]:
        """Return watts, and millijoules an inference with the idle power subtracted and without."""
        assert self._power is not None
        name, counter = self._power.name, self._power.counter
        running = _within(self._powers, load)
        resting = _within(self._powers, idle) if idle else []
        means = []
        for what, samples in (("before the model was loaded", resting), ("while the model ran", running)):
            mean = mean_watts(samples, counter)
            lost = sum(value is None for _, value in samples)
            if lost or mean is None:
                without = "" if mean is not None else ", so that power and energy are not known"
                problems.append(f"the power sensor {name} failed in {lost} of {len(samples)} readings {what}{without}")
            means.append(mean)
        idle_w, load_w = means
        values = [value for _, value in running if value is not None]
        changes = sum(a != b for a, b in pairwise(values))
        if load_w is not None and changes + 1 < FEWEST_VALUES:
            problems.append(
                f"the power sensor {name} gave {changes + 1} different value{'s' * (changes > 0)} while the model ran: "
                "it may be slower than the measurement; raise `profile.min_seconds`"
            )
        mj = (load[1] - load[0]) / 1e6 / inferences
        span = (running[-1][0] - running[0][0]) / 1e9 if len(running) > 1 else 0.0
        return {
            "sensor": name,
            "scope": self._power.scope,
            "rate_hz": (len(running) - 1) / span if span else None,
            "updates_hz": changes / span if span else None,
            "idle_w": idle_w,
            "load_w": load_w,
            "energy_mj": None if load_w is None or idle_w is None else (load_w - idle_w) * mj,
            "energy_with_idle_mj": None if load_w is None else load_w * mj,
        }

    def _run(self) -> None:
        began, used = time.perf_counter(), time.thread_time()
        interval = INTERVAL_S if self._power else HEAT_INTERVAL_S
        every = round(HEAT_INTERVAL_S / interval)
        due, tick = began, 0
        while not self._ended:
            if self._power:
                self._powers.append((time.perf_counter_ns(), self._power.read()))
            if self.heat.quick and tick % every == 0:
                self._heats.append(self.heat.read(quick=True))
            tick += 1
            now = time.perf_counter()
            due = max(due + interval, now)
            time.sleep(due - now)  # half the cost of waiting for an event
        self._cpu_share = (time.thread_time() - used) / (time.perf_counter() - began)


def mean_watts(samples: Sequence[tuple[int, float | None]], counter: bool) -> float | None:
    """Return the mean power over time, by the trapezoidal rule, or of a counter from its first and last value.

    `None` if fewer than two readings worked or more than `LOST_SHARE` failed.

    Args:
        samples: nanoseconds, and watts or, of a counter, joules.
        counter: whether it is one.
    """
    known = [(at / 1e9, value) for at, value in samples if value is not None]
    if len(known) < 2 or len(samples) - len(known) > LOST_SHARE * len(samples):
        return None
    seconds = known[-1][0] - known[0][0]
    if counter:
        joules = known[-1][1] - known[0][1]
    else:
        joules = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(known))
    return joules / seconds


def _within(samples: Sequence[tuple[int, float | None]], window: Window) -> list[tuple[int, float | None]]:
    return [one for one in samples if window[0] <= one[0] <= window[1]]
