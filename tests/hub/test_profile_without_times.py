"""A profile of a program that tells no single times, in the words of the protocol."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge_pipeline.core.types import Profile, Target


def test_its_minimum_is_told_and_the_list_of_times_is_empty(
    make_profile: Callable[..., Profile], target: Target, needs: Callable[[str], Any]
) -> None:
    needs("qai_hub")
    from edge_pipeline.hub.profiles import detail

    whole = make_profile(target, latency_min_ms=0.5)
    assert detail(whole).execution_time == 1000
    told = detail(replace(whole, repeats=tuple(replace(one, samples_ms=()) for one in whole.repeats)))
    assert told.execution_time == 500 and not told.all_execution_times
