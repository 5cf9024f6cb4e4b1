"""Run a compiled model over the whole test set on the device of a target."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.summary import MEASURED
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.nodes import agreement_db
from edge_pipeline.pipelines.finetune.nodes import open_samples
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.pipelines.references import references
from edge_pipeline.pipelines.validate import emulation
from edge_pipeline.pipelines.validate.inference import batch_size, outputs_of, predictions
from edge_pipeline.pipelines.validate.outputs import OUTCOMES, OUTPUTS, keep
from edge_pipeline.pipelines.validate.parameters import ValidateParameters

if TYPE_CHECKING:
    from edge_pipeline.datasets.base import Samples
    from edge_pipeline.pipelines.references import Tensors

PREDICTIONS = "predictions.png"

SUSPICIOUS_DB = 24.0
"""An engine that agrees less with the simulation may do something else than rounding; its layers are looked at."""


@isolated("validate", outputs=2)
def validate(
    split: Split,
    exported: Artifact,
    compiled: Artifact,
    parameters: ValidateParameters,
    *,
    spec: ModelSpec,
    device: DeviceSpec,
    target: Target,
    subject: str,
) -> tuple[Validation, Artifact]:
    """Return the metrics on the test part with the agreement on validation images, and the predictions.

    The predictions are a drawing of some of the test part, what every image of the test part came to, and the outputs
    for the first of the validation images; `details["outputs"]` are the indices of these into the dataset.

    `sqnr_float_db` compares with the float network in PyTorch, `sqnr_sim_db` with what was exported: the AIMET
    simulation, or for a float target the float network again; it is absent where AI Hub quantized. With several
    outputs it is the one that agrees least.

    An emulator runs a sample of the test part, and its metrics come with a 95% confidence interval; where it
    contradicts itself or ONNX Runtime, `details["unverified"]` says so and there are no metrics.

    Raises:
        DeviceError: the device cannot run the artifact, or its outputs are not what the network promises.
        MetricError: the user's metric failed.
    """
    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.tasks.base import evaluator
    from edge_pipeline.tasks.confidence import interval_95
    from edge_pipeline.tasks.outcomes import pack, recorder
    from edge_pipeline.tasks.user_metric import UserMetric

    samples, interface = open_samples(spec), recipes.interface(spec)
    known, tested = references(exported), split.test
    shown: list[int] = exported.details["shown"]
    if device.emulated:
        known = emulation.few(known, parameters.emulated_images)
        chosen = balanced_subset(samples, split.test, parameters.emulated_images, split.seed)
        tested = tuple(dict.fromkeys([*shown, *chosen]))[: max(len(chosen), len(shown))]
    connected = connect(device)
    infer = functools.partial(
        connected.infer,
        compiled,
        threads=parameters.threads,
        time_limit_s=parameters.time_limit_s,
        target=target.name,
    )
    size = emulation.BATCH if device.emulated else batch_size(interface)
    checked = outputs_of(infer, known.inputs, size)
    metrics = {"sqnr_float_db": agreement_db(known.float, checked, interface)}
    agreement = agreement_db(known.source, checked, interface)
    if "hub" not in exported.details.get("quantization", {}):
        metrics["sqnr_sim_db"] = agreement
    details: dict[str, Any] = {}
    if target.precision.quantized and agreement < SUSPICIOUS_DB:
        details["diverges_at"] = _divergence(exported, compiled, target, [one[:1] for one in known.inputs])
    problem = ""
    if device.emulated:
        more, problem = emulation.check(infer, checked, known, exported, interface)
        metrics |= more
        details |= {"test_images": len(split.test), "unverified": problem}
    task, outcomes = evaluator(spec.task, split.classes), recorder(spec.task, split.classes)
    metric = UserMetric(spec.metric) if spec.metric else None
    drawn: dict[int, Any] = {}
    pairs: list[tuple[Any, Any]] = []
    step = f"{target.name}: validate"
    for index, prediction in predictions(infer, samples, interface, () if problem else tested, step, size):
        truth = samples.truth(index)
        task.add(prediction, truth)
        if outcomes:
            outcomes.add(index, prediction, truth)
        if metric:
            metric.add(prediction, truth)
        if index in shown:
            drawn[index] = prediction
        if len(tested) < len(split.test):
            pairs.append((prediction, truth))
    own: dict[str, float] = {}
    if not problem:
        metrics |= task.metrics()
        own = metric.metrics(taken={*metrics, *MEASURED}) if metric else {}
        details |= task.details()
    interval = interval_95(spec.task, split.classes, pairs) if pairs else None
    if interval:
        metrics |= {"accuracy_low": interval[0], "accuracy_high": interval[1]}
    validation = Validation(
        target.name,
        compiled.hash,
        compiled.lineage,
        {**metrics, **own},
        0 if problem else len(tested),
        spec.task,
        split.classes,
        {**details, "own_metrics": list(own), "retries": list(getattr(connected, "retries", ()))},
    )
    kept, rows = keep(checked)
    about = {"outputs": exported.details["images"][:rows], "interface": interface.model_dump(mode="json")}
    files = {OUTPUTS: kept}
    if problem:
        return validation, Artifact("predictions", files, compiled.lineage, details={"samples": [], **about})
    picture = _drawing(samples, interface, spec, known.shown, {index: drawn[index] for index in shown}, target)
    files |= {} if picture is None else {PREDICTIONS: picture}
    files |= {OUTCOMES: pack(outcomes)} if outcomes else {}
    return validation, Artifact("predictions", files, compiled.lineage, details={"samples": shown, **about})


def _divergence(
    exported: Artifact, compiled: Artifact, target: Target, sample: "Sequence[Any]"
) -> dict[str, Any] | None:
    """Return the first layer where the engine leaves the simulation by more than rounding; `None` if none is found."""
    from dataclasses import asdict

    from edge_pipeline.core.child import ChildError
    from edge_pipeline.runtimes.divergence import agreements, first_divergence

    model = compiled.files[compiled.details["model"]]
    soc_model = compiled.details.get("soc_model")
    try:
        found = first_divergence(agreements(exported.files["model.onnx"], target.runtime, model, sample, soc_model))
    except ChildError:
        return None
    return asdict(found) if found else None


def _drawing(
    samples: "Samples",
    interface: Interface,
    spec: ModelSpec,
    of_float: "Tensors",
    of_target: Mapping[int, Any],
    target: Target,
) -> bytes | None:
    """Return truth, float network and target side by side as a PNG; `None` where there are no pictures."""
    from edge_pipeline.core.preprocessing import geometry
    from edge_pipeline.tasks.decode import decode, restore
    from edge_pipeline.tasks.drawing import predictions_figure

    preprocessing = interface.preprocessing
    if preprocessing is None or spec.task == "custom":
        return None
    pictures = [samples.picture(index) for index in of_target]
    floats = [
        restore(one, geometry((picture.shape[0], picture.shape[1]), preprocessing))
        for one, picture in zip(decode(of_float, interface), pictures, strict=True)
    ]
    columns = [
        (
            "labelled, generated image" if spec.dataset.generated else "labelled",
            [samples.truth(index) for index in of_target],
        ),
        ("float, PyTorch", floats),
        (target.name, list(of_target.values())),
    ]
    buffer = io.BytesIO()
    predictions_figure(pictures, columns, spec.task, samples.classes).savefig(buffer, format="png")
    return buffer.getvalue()
