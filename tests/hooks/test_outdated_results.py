"""What `--only-missing-outputs` must make again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Profile, Split, Validation
from edge_pipeline.hooks.stale import discard_stale
from edge_pipeline.models.spec import ClassifierSpec, Targets

SPEC = ClassifierSpec(recipe="classifier", targets=Targets(runtimes=("onnx",)))
SPLIT = Split("data", 0, ("a",), (0,), (1,), (2,))
REPORTS = ("scorecard.csv", "quality.png", "latency.png", "placement.png")


@pytest.fixture
def make(
    default_catalog: Any, make_profile: Callable[..., Profile], make_validation: Callable[..., Validation]
) -> Callable[..., None]:
    """Return a function that saves everything of the model, made from `weights`."""

    def save(weights: bytes = b"1") -> None:
        default_catalog.save("digits.split", SPLIT)
        root = Artifact("weights", {"weights.pt": weights}, {"dataset": "data"})
        default_catalog.save("digits.weights", root)
        simulation = Artifact("simulation", {"simulation.pt": weights}, root.lineage)
        default_catalog.save("digits.w8a8.simulation", simulation)
        for target in SPEC.expand("digits"):
            source = root if target.precision == "float" else simulation
            exported = Artifact("exported", {"model.onnx": b"x"}, source.lineage)
            compiled = Artifact("compiled", {"model.onnx": b"y"}, exported.lineage)
            default_catalog.save(f"digits.{target.precision}.exported", exported)
            default_catalog.save(f"digits.{target.slug}.compiled", compiled)
            lineage = {"artifact": compiled.hash}
            for kind, result in (("profile", make_profile(target)), ("validation", make_validation(target))):
                record = replace(result, lineage=compiled.lineage, **lineage)
                default_catalog.save(f"digits.{target.slug}.{kind}", record)
            drawn = Artifact("predictions", {"predictions.png": b"z"}, compiled.lineage)
            default_catalog.save(f"digits.{target.slug}.predictions", drawn)
        for name in REPORTS:
            path = Path("data/08_reporting/digits") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return save


def reports() -> list[str]:
    return [name for name in REPORTS if (Path("data/08_reporting/digits") / name).exists()]


def of_target(slug: str) -> list[str]:
    return [f"digits.{slug}.{kind}" for kind in ("compiled", "profile", "validation", "predictions")]


def test_results_that_belong_together_are_kept(default_catalog: Any, make: Callable[..., None]) -> None:
    make()
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == []
    assert reports() == list(REPORTS)


def test_new_weights_make_everything_after_them_outdated(default_catalog: Any, make: Callable[..., None]) -> None:
    make()
    default_catalog.save("digits.weights", Artifact("weights", {"weights.pt": b"2"}, {"dataset": "data"}))
    expected = ["digits.float.exported", *of_target("host-onnx-float")]
    expected += ["digits.w8a8.simulation", "digits.w8a8.exported", *of_target("host-onnx-w8a8")]
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == expected
    assert not any(default_catalog.exists(name) for name in expected)
    assert default_catalog.exists("digits.weights")
    assert reports() == []


def test_new_data_make_everything_outdated(default_catalog: Any, make: Callable[..., None]) -> None:
    make()
    default_catalog.save("digits.split", replace(SPLIT, dataset_hash="other"))
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits"))[0] == "digits.weights"
    assert default_catalog.exists("digits.split")
    assert not default_catalog.exists("digits.weights")


def test_a_new_simulation_makes_its_own_precision_outdated_only(
    default_catalog: Any, make: Callable[..., None]
) -> None:
    make()
    old = default_catalog.load("digits.w8a8.simulation")
    default_catalog.save("digits.w8a8.simulation", replace(old, files={"simulation.pt": b"other"}))
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == [
        "digits.w8a8.exported",
        *of_target("host-onnx-w8a8"),
    ]


def test_a_damaged_result_is_made_again_with_all_that_came_from_it(
    default_catalog: Any, make: Callable[..., None]
) -> None:
    make()
    Path("data/06_models/digits/host-onnx-float/compiled/model.onnx").write_bytes(b"changed")
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == of_target("host-onnx-float")


def test_a_damaged_report_of_a_target_is_made_again_alone(default_catalog: Any, make: Callable[..., None]) -> None:
    make()
    Path("data/08_reporting/digits/host-onnx-w8a8/profile.json").write_bytes(b"{")
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == ["digits.host-onnx-w8a8.profile"]
    assert reports() == []


def test_a_failed_target_makes_the_tables_and_figures_again(default_catalog: Any, make: Callable[..., None]) -> None:
    make()
    default_catalog.save("digits.host-onnx-w8a8.profile", Failure("profile", "x", "too slow"))
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == []
    assert reports() == []


def test_a_project_that_was_never_run_has_nothing_outdated(default_catalog: Any) -> None:
    assert discard_stale(default_catalog, "digits", SPEC.expand("digits")) == []
