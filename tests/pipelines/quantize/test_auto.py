"""`quantize: auto`, on a network that was really trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.types import Artifact, Failure, Precision, Split
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize import auto, techniques
from edge_pipeline.pipelines.quantize.nodes import quantize, restored_simulation
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

QUICK = {
    "adaround": {"iterations": 5, "images": 10},
    "seq_mse": {"candidates": 3, "images": 10},
    "qat": {"steps": 3, "batch_size": 8},
    "images": 50,
}
IMPOSSIBLE = {**QUICK, "min_sqnr_db": 90}
Stage = Callable[..., Artifact | Failure]


@pytest.fixture
def stage(small_split: Split, weights: Artifact, spec: ModelSpec, tmp_path: Path) -> Stage:
    """Return a function that runs the stage with the settings of `auto`."""

    def run(
        settings: Any, precision: str = "w8a8", high: str = "float", model: ModelSpec = spec, **more: Any
    ) -> Artifact | Failure:
        given = QuantizeParameters.model_validate({"calibration_images": 20, "auto": settings, **more})
        fixed: dict[str, Any] = {"precision": Precision(precision), "hexagon": "v73", "high": high}
        return quantize(small_split, weights, tmp_path, given, spec=model, **fixed, subject="digits")

    return run


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The simulations that climbs gave, alive."""
    found: list[Any] = []
    original = auto.automatic

    def automatic(*arguments: Any) -> Any:
        result = original(*arguments)
        found.append(result[0])
        return result

    monkeypatch.setattr(auto, "automatic", automatic)
    return found


def outcome(found: Artifact | Failure) -> Artifact:
    assert isinstance(found, Artifact), found
    return found


def rungs(found: Artifact) -> list[str]:
    return [one["rung"] for one in found.details["ladder"]]


def equal_when_restored(found: Artifact, alive: Any, spec: ModelSpec, weights: Artifact, images: Any) -> bool:
    batch = torch.from_numpy(images)
    with torch.no_grad():
        return torch.equal(restored_simulation(spec, weights, found).model(batch), alive.model(batch))


def test_an_easy_budget_is_met_by_calibration(stage: Stage) -> None:
    found = outcome(stage({**QUICK, "max_drop": 0.5}))
    assert rungs(found) == ["float", "calibrate, correct biases"]
    assert found.details["ladder"][1]["met"]
    assert found.details["techniques"] == ["bias_correction"]
    assert found.details["layout"]["overrides"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "high", "more"),
    [
        ("w8a8", "float", {}),
        ("w4a8", "w8a16", {}),
        ("w4a8", "float", {}),
        ("w4a8", "float", {"overrides": {"head": "w8a16"}}),
        ("mixed", "float", {"mixed": {"low": "w4a8"}}),
    ],
)
def test_an_impossible_budget_tries_all_and_keeps_the_best(
    stage: Stage,
    kept: list[Any],
    spec: ModelSpec,
    weights: Artifact,
    images: Any,
    precision: str,
    high: str,
    more: Any,
) -> None:
    found = outcome(stage(IMPOSSIBLE, precision, high, **more))
    tried = rungs(found)
    assert tried[:3] == ["float", "calibrate, correct biases", "calibrate"]
    few_bits = precision != "w8a8"
    last = [f"{high} for 95% of the noise", "quantization-aware training"]
    assert tried[-2:] == last if few_bits else tried[-3:] == [*last, "AdaRound"]
    assert ("SeqMSE" in tried) == few_bits
    attempts = found.details["ladder"][1:]
    assert not any(one["met"] for one in attempts)
    left_out = {one["rung"]: one["note"] for one in attempts if one["note"]}
    assert left_out.keys() <= {"batch-norm re-estimation"}, left_out
    best = [one for one in attempts if one["kept"]][-1]
    assert found.details["layout"]["overrides"] == {**best["overrides"], **more.get("overrides", {})}
    assert equal_when_restored(found, kept[0], spec, weights, images)


@pytest.mark.slow
def test_after_a_kill_the_rest_is_climbed(
    stage: Stage,
    kept: list[Any],
    spec: ModelSpec,
    weights: Artifact,
    images: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = auto.quantized
    made: list[Any] = []

    def quantized(subject: Any, parameters: Any, layout: Any) -> Any:
        if parameters.cross_layer_equalization and len(made) < 10:
            raise KeyboardInterrupt
        made.append(parameters)
        return original(subject, parameters, layout)

    monkeypatch.setattr(auto, "quantized", quantized)
    with pytest.raises(KeyboardInterrupt):
        stage(IMPOSSIBLE, "w4a8")
    before = len(made)
    made.extend([None] * 10)
    found = outcome(stage(IMPOSSIBLE, "w4a8"))
    assert before == 3
    assert len(made) - 10 - before <= 4  # equalization, re-estimation, SeqMSE, AdaRound
    assert len(set(rungs(found))) == len(rungs(found)) == 12
    assert equal_when_restored(found, kept[0], spec, weights, images)


@pytest.mark.slow
def test_mixed_precision_can_be_left_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "sensitivity", None)
    found = outcome(stage({**IMPOSSIBLE, "high": "off"}))
    assert not any("noise" in rung for rung in rungs(found))


def test_an_unknown_metric_is_told_with_the_known(stage: Stage) -> None:
    found = stage({**QUICK, "metric": "map"})
    assert isinstance(found, Failure)
    assert found.message.startswith("quantize.auto.metric: there is no metric 'map'; there are accuracy")


def test_another_npu_is_another_climb(
    stage: Stage, small_split: Split, weights: Artifact, spec: ModelSpec, tmp_path: Path
) -> None:
    outcome(stage({**QUICK, "max_drop": 0.5}))
    before = (tmp_path / "ladder.pt").read_bytes()
    given = QuantizeParameters.model_validate({"calibration_images": 20, "auto": {**QUICK, "max_drop": 0.5}})
    fixed: dict[str, Any] = {"precision": Precision.W8A8, "hexagon": "v68", "high": "float", "subject": "digits"}
    found = outcome(quantize(small_split, weights, tmp_path, given, spec=spec, **fixed))
    assert found.details["layout"]["hexagon"] == "v68"
    assert (tmp_path / "ladder.pt").read_bytes() != before


@pytest.mark.parametrize("high", ["float", "w8a16"])
def test_more_layers_can_be_overridden_after_the_first(
    small_split: Split, weights: Artifact, spec: ModelSpec, digits: Any, images: Any, high: str
) -> None:
    from edge_pipeline.models import recipes
    from edge_pipeline.pipelines.quantize.calibration import Inputs
    from edge_pipeline.quantization import ptq
    from edge_pipeline.quantization.layout import Layout

    calibration = Inputs(digits, recipes.interface(spec), small_split.train[:20], 20)
    subject = techniques.Subject(spec, weights, calibration, small_split.train)
    layouts = [Layout(overrides=dict.fromkeys(names, high)) for names in ((), ("head",), ("head", "features.0.0"))]
    found = ptq.simulate(subject.prepared(equalize=False), subject.inputs, layouts[0])
    ptq.calibrate(found, calibration)
    for layout in layouts[1:]:
        found = techniques.overridden(subject, found, layout, equalize=False)
    direct = ptq.simulate(subject.prepared(equalize=False), subject.inputs, layouts[-1])
    ptq.fill(direct, found.model.state_dict())
    with torch.no_grad():
        assert torch.equal(direct.model(torch.from_numpy(images)), found.model(torch.from_numpy(images)))


def test_the_budget_can_be_of_the_users_own_metric(
    stage: Stage, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "def f(predictions, truths):\n    return {'wrong': sum(p.argmax() != t for p, t in zip(predictions, truths))}\n"
    )
    (tmp_path / "own_error_of_auto.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {**QUICK, "metric": "wrong", "higher_is_better": False, "max_drop": 50}
    found = stage(settings, model=spec.model_copy(update={"metric": "own_error_of_auto:f"}))
    assert isinstance(found, Artifact), found
    assert found.details["ladder"][-1]["met"]
    assert found.details["ladder"][0]["metric"] == int(found.details["ladder"][0]["metric"])
