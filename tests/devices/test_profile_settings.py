from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings


def test_the_defaults_measure_at_least_a_hundred_runs_and_two_seconds() -> None:
    settings = ProfileSettings()
    assert settings.min_inferences >= 100
    assert settings.min_seconds >= 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"min_inferences": 99},
        {"min_seconds": 1.9},
        {"warmup": 0},
        {"threads": 0},
        {"images": 0},
        {"noisy_spread_pct": 0},
        {"time_limit_s": 0},
        {"idle_seconds": 0.5},
        {"sustained_seconds": 9.9},
        {"sustained_seconds": -1},
        {"warm_up": 5},
    ],
    ids=str,
)
def test_settings_that_would_give_figures_nobody_can_trust_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProfileSettings(**change)


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_sustained_run_is_off_or_long(seconds: float) -> None:
    assert ProfileSettings(sustained_seconds=seconds).sustained_seconds == seconds


@pytest.mark.parametrize("entry", [{"kind": "toaster"}, {}, {"kind": "host", "port": 22}])
def test_a_device_of_unknown_kind_or_with_unknown_keys_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeviceSpec.model_validate(entry)


def test_this_machine_describes_itself() -> None:
    found = connect(DeviceSpec(kind="host")).describe()
    assert found["kind"] == "host"
    assert int(found["cpus"]) >= 1
    assert all(found.values())
