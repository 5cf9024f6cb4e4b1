"""Look at a model's triggers: new samples, drift, age."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import EdgePipelineError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.pipelines.retrain import drift, triggers
from edge_pipeline.pipelines.retrain.incoming import Found, NewSamples
from edge_pipeline.pipelines.retrain.schedule import DriftSpec, ScheduleSpec
from edge_pipeline.pipelines.retrain.triggers import Trigger

if TYPE_CHECKING:
    from edge_pipeline.core.preprocessing import Picture
    from edge_pipeline.datasets.base import Samples


@dataclass(frozen=True)
class Watched:
    """What the triggers look at.

    Attributes:
        found: the watched folder; `None` without one.
        waiting: samples that were taken in, but that no training which is over was trained on.
        champion_age_days: of the champion; `None` without one.
        samples: the dataset with what it took in; `None` if there is no drift to measure.
        arrived: the good new samples.
        split: which of `samples` the model was trained on; `None` if it never was.
        compiled: the model as this machine runs it; `None` if there is none.
    """

    found: Found | None
    waiting: int
    champion_age_days: float | None
    samples: "Samples | None" = None
    arrived: NewSamples | None = None
    split: Split | None = None
    compiled: Artifact | None = None


def look(spec: ScheduleSpec, watched: Watched) -> list[Trigger]:
    """Return all triggers of a model; without any in its schedule, one that always fires.

    Raises:
        DatasetError: a picture cannot be read.
        RetrainError: a file of predictions is wrong.
    """
    found = [triggers.first(watched.champion_age_days is not None)]
    if spec.new_data and watched.found:
        count = len(watched.found.good) + watched.waiting
        found.append(triggers.new_data(count, len(watched.found.broken), spec.new_data))
    if spec.drift:
        kinds = ("inputs",) * spec.drift.inputs + ("predictions",) * spec.drift.predictions
        found += [_drift(kind, spec.drift, watched) for kind in kinds]
    if spec.max_age_days is not None:
        found.append(triggers.age(watched.champion_age_days, spec.max_age_days))
    if not (spec.new_data or spec.drift or spec.max_age_days):
        found.append(Trigger("schedule", "no other trigger is set", True))
    return found


def _drift(kind: str, spec: DriftSpec, watched: Watched) -> Trigger:
    samples, new, split = watched.samples, watched.arrived, watched.split
    if split is None or samples is None:
        return triggers.no_drift(kind, "the model was never trained here, there is nothing to compare with")
    if kind == "predictions":
        return _of_predictions(spec, watched, samples, split)
    count = len(new) if new else 0
    if count < spec.min_samples or new is None:
        return triggers.no_drift(kind, f"{count} of {spec.min_samples} new samples that are needed to tell")
    trained = [index for index in split.train if index < len(samples)]
    chosen = [trained[i] for i in drift.some(len(trained))]
    shifts = drift.shifts_of_pictures(_pictures(samples, chosen), _pictures(new, drift.some(count)))
    return triggers.drift(kind, shifts, min(count, drift.MOST), spec)


def _of_predictions(spec: DriftSpec, watched: Watched, samples: "Samples", split: Split) -> Trigger:
    kind, new = "predictions", watched.arrived
    if watched.compiled is None:
        return triggers.no_drift(kind, "the model has no target on this machine that could be run")
    if spec.on_device:
        said = drift.read_predictions(spec.on_device, samples.classes)
        count = len(said.classes)
    else:
        count = len(new) if new else 0
    if count < spec.min_samples:
        return triggers.no_drift(kind, f"{count} of {spec.min_samples} new samples that are needed to tell")
    predict = predictor(watched.compiled)
    if not spec.on_device:
        assert new is not None
        said = drift.Predicted.of(predict(new, drift.some(count)))
    validation = [index for index in split.validation if index < len(samples)]
    reference = drift.Predicted.of(predict(samples, [validation[i] for i in drift.some(len(validation))]))
    shifts = drift.shifts_of_predictions(reference, said, samples.classes)
    return triggers.drift(kind, shifts, count, spec)


def predictor(compiled: Artifact, time_limit_s: float = 600) -> "Callable[[Any, Sequence[int]], Iterator[Any]]":
    """Return a function that runs a compiled model on this machine over pictures, by their indices."""
    from edge_pipeline.devices.inventory import DeviceSpec, connect
    from edge_pipeline.pipelines.validate.inference import batch_size, predictions

    interface = Interface.model_validate(compiled.details["interface"])
    infer = functools.partial(
        connect(DeviceSpec(kind="host")).infer, compiled, threads=1, time_limit_s=time_limit_s, target="drift"
    )

    def predict(samples: Any, indices: Sequence[int]) -> Iterator[Any]:
        for _, one in predictions(infer, samples, interface, indices, "drift", batch_size(interface)):
            yield one

    return predict


def _pictures(samples: Any, indices: Sequence[int]) -> "Iterator[Picture]":
    return (samples.picture(index) for index in indices)


def loaded(catalog: Any, name: str, kind: type) -> Any:
    """Return a result of an earlier run, `None` if it is not there, failed, or is damaged."""
    try:
        found = catalog.load(name) if catalog.exists(name) else None
    except EdgePipelineError:
        return None
    except Exception as error:  # Kedro wraps what a dataset raises
        if isinstance(error.__cause__, EdgePipelineError):
            return None
        raise
    return found if isinstance(found, kind) else None
