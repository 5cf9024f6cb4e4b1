from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import summarise

Summarise = Callable[..., Profile]


def repeat(samples: Any = (1.0,) * 10, **changes: Any) -> Repeat:
    fields = {"load_ms": 1.0, "first_inference_ms": 1.0, "peak_memory_mb": 50.0, "baseline_memory_mb": 40.0}
    return Repeat(samples_ms=tuple(samples), **{**fields, "other_cpu_pct": 0.0, **changes})


@pytest.fixture
def summary(artifact: Artifact) -> Summarise:
    def make(*repeats: Repeat, problems: tuple[str, ...] = (), **settings: Any) -> Profile:
        layers, device = [Layer("conv", "Conv", "cpu", 0.5)], {"kind": "host"}
        return summarise("t", artifact, repeats, layers, ProfileSettings(**settings), device, "engine 1", problems)

    return make


def test_percentiles_are_those_of_all_samples_together(summary: Summarise) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.gamma(2.0, size=300) + 1, generator.gamma(2.0, size=200) + 1
    both = np.concatenate([first, second])
    found = summary(repeat(first), repeat(second)).metrics
    for percentile in (50, 90, 99):
        assert found[f"latency_p{percentile}_ms"] == pytest.approx(np.percentile(both, percentile))
    assert found["latency_mean_ms"] == pytest.approx(both.mean())
    assert found["latency_min_ms"] == both.min()
    assert found["throughput_ips"] == pytest.approx(1000 / both.mean())
    assert found["inferences"] == 500


def test_the_spread_is_the_difference_of_the_medians_in_percent_of_the_smaller(summary: Summarise) -> None:
    found = summary(repeat([1.0, 2.0, 90.0]), repeat([2.5, 2.5, 0.1]))
    assert found.metrics["latency_spread_pct"] == pytest.approx(25.0)


def test_loading_and_first_inference_are_means_and_memory_is_the_largest(summary: Summarise) -> None:
    found = summary(
        repeat(load_ms=2.0, first_inference_ms=5.0, peak_memory_mb=60.0, baseline_memory_mb=55.0),
        repeat(load_ms=4.0, first_inference_ms=6.0, peak_memory_mb=50.0, baseline_memory_mb=41.0),
    ).metrics
    assert (found["load_ms"], found["first_inference_ms"]) == (3.0, 5.5)
    assert (found["peak_memory_mb"], found["model_memory_mb"]) == (60.0, 9.0)


def test_what_a_device_does_not_tell_is_left_out(summary: Summarise) -> None:
    found = summary(repeat(first_inference_ms=None, peak_memory_mb=0.0, baseline_memory_mb=0.0))
    assert not {
        "first_inference_ms",
        "peak_memory_mb",
        "model_memory_mb",
        "latency_spread_pct",
    } & set(found.metrics)
    assert found.warnings == ()
    assert summary(repeat(baseline_memory_mb=0.0)).metrics.keys() & {"peak_memory_mb", "model_memory_mb"} == {
        "peak_memory_mb"
    }


def test_the_size_is_that_of_the_artifact_in_millions_of_bytes(summary: Summarise, artifact: Artifact) -> None:
    assert summary(repeat(), repeat()).metrics["size_mb"] == artifact.size_bytes / 1e6


def test_the_profile_names_its_artifact_and_keeps_what_was_measured(summary: Summarise, artifact: Artifact) -> None:
    found = summary(repeat(), repeat(), threads=3)
    assert (found.target, found.artifact, found.lineage) == ("t", artifact.hash, artifact.lineage)
    assert found.repeats == (repeat(), repeat())
    assert found.layers == (Layer("conv", "Conv", "cpu", 0.5),)
    assert (found.threads, found.device, found.runtime_version) == (3, {"kind": "host"}, "engine 1")


def test_quiet_measurements_have_no_warning(summary: Summarise) -> None:
    assert summary(repeat(other_cpu_pct=20.0), repeat(other_cpu_pct=None)).warnings == ()


@pytest.mark.parametrize(("limit", "warns"), [(10.0, True), (30.0, False)])
def test_repeats_that_differ_more_than_allowed_come_with_a_warning(
    summary: Summarise, limit: float, warns: bool
) -> None:
    found = summary(repeat([1.0]), repeat([1.2]), noisy_spread_pct=limit).warnings
    assert [("differ by 20%" in text, "limit 10%" in text) for text in found] == ([(True, True)] if warns else [])


def test_other_load_on_the_machine_comes_with_a_warning(summary: Summarise) -> None:
    (warning,) = summary(repeat(other_cpu_pct=5.0), repeat(other_cpu_pct=61.0)).warnings
    assert "other processes took 61% of the machine" in warning


def test_problems_are_passed_on_beside_the_warnings(summary: Summarise) -> None:
    found = summary(repeat([1.0]), repeat([2.0]), problems=("no layers",)).warnings
    assert len(found) == 2
    assert found[-1] == "no layers"
