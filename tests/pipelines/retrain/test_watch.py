from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.interface import Logits
from edge_pipeline.core.types import Artifact, RuntimeName, Split
from edge_pipeline.datasets.image_folder import ImageFolder
from edge_pipeline.pipelines.retrain.incoming import Arrived, Broken, Found, NewSamples
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec
from edge_pipeline.pipelines.retrain.watch import Watched, look


def found(good: int, broken: int = 0) -> Found:
    bad = tuple(Broken(f"b{i}", "", "", "why") for i in range(broken))
    return Found(tuple(Arrived(f"{i}", "", f"{i}", "x") for i in range(good)), bad, 0)


def said(spec: dict[str, Any], watched: Watched) -> dict[str, tuple[bool, str]]:
    return {one.name: (one.fires, str(one)) for one in look(ScheduleSpec.model_validate(spec), watched)}


def test_a_model_that_was_never_released_is_trained() -> None:
    told = said({"max_age_days": 30}, Watched(None, 0, None))
    assert told["champion"] == (True, "champion: none yet: fires")
    assert told["max_age_days"][0] is False


def test_without_any_trigger_it_always_fires() -> None:
    assert said({"cron": "0 3 * * 1"}, Watched(None, 0, 1.0))["schedule"][0]


def test_samples_count_with_those_that_wait_since_a_forgotten_training() -> None:
    spec = {"new_data": {"path": "x", "min_samples": 200}}
    assert said(spec, Watched(found(300), 12, 1.0))["new_data"] == (True, "new_data: 312 of 200 samples: fires")
    told = said(spec, Watched(found(199, 3), 0, 1.0))["new_data"]
    assert told == (False, "new_data: 199 of 200 samples (broken files: 3): does not fire")


def test_age_is_that_of_the_champion() -> None:
    assert said({"max_age_days": 30}, Watched(None, 0, 29.9))["max_age_days"][0] is False
    assert said({"max_age_days": 30}, Watched(None, 0, 31.0))["max_age_days"] == (
        True,
        "max_age_days: 31.0 of 30 days: fires",
    )


@pytest.fixture
def drifting(tmp_path: Path, picture: Callable[..., Path]) -> Callable[[int], Watched]:
    """Return a function that makes 40 old pictures, and 40 new ones that are brighter by so much."""

    def make(add: int) -> Watched:
        for index in range(40):
            picture(tmp_path / "own" / "cat" / f"{index}.png", index)
            picture(tmp_path / "new" / f"{index}.png", 500 + index, add=add)
        (tmp_path / "own" / "dog").mkdir(exist_ok=True)
        own = ImageFolder(tmp_path / "own", 3)
        new = [Arrived(str(i), str(tmp_path / "new" / f"{i}.png"), str(i), "cat") for i in range(40)]
        split = Split("hash", 0, ("cat",), tuple(range(36)), (36, 37), (38, 39, 400))
        return Watched(Found(tuple(new), (), 0), 0, 1.0, own, NewSamples(new, 3), split)

    return make


DRIFT = {"new_data": {"path": "x", "min_samples": 1000}, "drift": {}}


def test_new_pictures_that_are_brighter_fire(drifting: Callable[[int], Watched]) -> None:
    fires, text = said(DRIFT, drifting(60))["drift.inputs"]
    assert fires and text.startswith("drift.inputs: brightness moved by 1.000 (threshold 0.2), p = ")


def test_new_pictures_of_the_same_kind_do_not_fire(drifting: Callable[[int], Watched]) -> None:
    assert said(DRIFT, drifting(0))["drift.inputs"][0] is False


def test_drift_that_cannot_be_measured_says_why_and_does_not_fire(drifting: Callable[[int], Watched]) -> None:
    watched = drifting(60)
    never = Watched(watched.found, 0, None, watched.samples, watched.arrived, None)
    assert said(DRIFT, never)["drift.inputs"] == (
        False,
        "drift.inputs: the model was never trained here, there is nothing to compare with: does not fire",
    )
    assert watched.found
    few = NewSamples(watched.found.good[:5], 3)
    less = Watched(watched.found, 0, 1.0, watched.samples, few, watched.split)
    assert "5 of 30 new samples that are needed" in said(DRIFT, less)["drift.inputs"][1]
    both = {**DRIFT, "drift": {"predictions": True}}
    assert "no target on this machine" in said(both, watched)["drift.predictions"][1]


@pytest.fixture(scope="session")
def bright_or_dark(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A compiled model of two classes: the first if a picture's mean is above 75 of 255."""
    import torch

    from edge_pipeline.api import compiled
    from edge_pipeline.datasets.factory import FactorySamples

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            above = (x.mean((1, 2, 3)) - 75 / 255) * 100
            return torch.stack([above, -above], 1)

    samples = FactorySamples([(np.zeros((8, 8, 3), np.uint8), 0)])
    made = compiled(Net(), samples, RuntimeName.ONNX, 120)
    interface = {**made.details["interface"], "postprocessing": Logits().model_dump(mode="json")}
    return replace(made, details={**made.details, "interface": interface})


def test_predictions_of_the_model_on_new_pictures_fire(
    drifting: Callable[[int], Watched], bright_or_dark: Artifact
) -> None:
    spec = {**DRIFT, "drift": {"inputs": False, "predictions": True, "min_samples": 30}}
    for add, fires in ((60, True), (0, False)):
        made = drifting(add)
        split = replace(made.split, validation=tuple(range(36)))  # type: ignore[type-var]
        told = said(spec, replace(made, split=split, compiled=bright_or_dark))
        assert told["drift.predictions"][0] is fires, told
        assert "drift.inputs" not in told


def test_predictions_of_devices_take_the_place_of_the_models(
    drifting: Callable[[int], Watched], bright_or_dark: Artifact, tmp_path: Path
) -> None:
    file = tmp_path / "said.jsonl"
    file.write_text('{"class": "cat", "score": 0.51}\n' * 50)
    spec = {**DRIFT, "drift": {"predictions": True, "on_device": str(file)}}
    made = replace(drifting(0), compiled=bright_or_dark)
    fires, text = said(spec, made)["drift.predictions"]
    assert fires and "50 samples" in text
