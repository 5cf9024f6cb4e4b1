"""Report how much each layer of a quantized network costs."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.progress import advance, listeners
from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

if TYPE_CHECKING:
    from edge_pipeline.quantization.sensitivity import LayerSensitivity

TABLE, CHART, OVERRIDES = "sensitivity.csv", "sensitivity.png", "overrides.yml"

SHOWN = 40
"""Number of layers in the chart."""


@isolated("sensitivity")
@one_at_a_time
def report(
    split: Split,
    weights: Artifact,
    simulation: Artifact,
    parameters: QuantizeParameters,
    *,
    spec: ModelSpec,
    model: str,
    subject: str,
) -> Artifact:
    """Return a table and a chart of all layers, the most sensitive first, and overrides for the worst as YAML.

    Args:
        split: whose validation part is measured.
        weights: the float network.
        simulation: the calibrated simulation.
        parameters: with `sensitivity`, the numbers of images.
        spec: the model.
        model: its name, under which the overrides are written.
        subject: shown in messages.

    Raises:
        QuantizationError: the model stays ONNX from beginning to end, so there is no simulation in PyTorch.
    """
    import torch

    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.pipelines.finetune.evaluation import evaluate
    from edge_pipeline.pipelines.finetune.nodes import open_samples
    from edge_pipeline.pipelines.quantize.calibration import Inputs
    from edge_pipeline.pipelines.quantize.nodes import restored_simulation
    from edge_pipeline.quantization.layout import layers
    from edge_pipeline.quantization.sensitivity import sensitivity, worth_overriding

    if spec.stays_onnx:
        raise QuantizationError(
            "the sensitivity of an ONNX model that stays one cannot be measured; give it as a PyTorch network"
        )
    settings, samples, interface = parameters.sensitivity, open_samples(spec), recipes.interface(spec)
    chosen = balanced_subset(samples, split.validation, settings.images, split.seed)
    judged = balanced_subset(samples, split.validation, settings.metric_images, split.seed)

    def accuracy(net: torch.nn.Module) -> float:
        found = evaluate(net, spec, samples, judged, None, parameters.batch_size, 0, torch.device("cpu"))
        return found["validation_accuracy"]

    measure: Callable[[torch.nn.Module], float] | None = None
    if judged and spec.task != "custom":
        measure = accuracy
    reference = accuracy(recipes.restore(spec, weights)) if measure else None
    sim = restored_simulation(spec, weights, simulation)
    step = f"{subject}: sensitivity"
    for listener in listeners:
        listener.started(step, len(layers(sim.model)))
    try:
        inputs = Inputs(samples, interface, chosen, parameters.batch_size)
        found = sensitivity(sim, inputs, measure, lambda done, layer: advance(step, done, layer))
    finally:
        for listener in listeners:
            listener.ended(step)
    worst = worth_overriding(found)
    files = {
        TABLE: _table(found, reference),
        CHART: _chart(found, subject),
        OVERRIDES: _overrides(model, worst, found),
    }
    details = {"images": list(chosen), "metric_images": list(judged), "worst": worst}
    return Artifact("sensitivity", files, simulation.lineage, details=details)


def _table(found: "Sequence[LayerSensitivity]", reference: float | None) -> bytes:
    import pandas as pd

    rows = [
        {
            "layer": one.layer,
            "kind": one.kind,
            "sqnr_db": round(one.sqnr_db, 3),
            "noise_share": round(one.share, 5),
            "accuracy": one.metric,
            "accuracy_drop": None if one.metric is None or reference is None else reference - one.metric,
        }
        for one in found
    ]
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    return table.to_csv(index=False).encode()


def _chart(found: "Sequence[LayerSensitivity]", subject: str) -> bytes:
    from matplotlib.figure import Figure

    shown = list(reversed(found[:SHOWN]))
    figure = Figure(figsize=(9, 1.5 + 0.22 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [one.layer for one in shown]
    left.barh(names, [one.sqnr_db for one in shown], color="tab:blue")
    left.set_xlabel("SQNR of the outputs when this layer alone\nis quantized (dB; less is worse)")
    right.barh(names, [100 * one.share for one in shown], color="tab:orange")
    right.set_xlabel("share of the noise of all layers (%)")
    more = f", {SHOWN} of {len(found)} layers" if len(found) > SHOWN else ""
    figure.suptitle(f"Sensitivity of {subject}{more}")
    left.tick_params(axis="y", labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _overrides(model: str, worst: Sequence[str], found: "Sequence[LayerSensitivity]") -> bytes:
    import yaml

    share = sum(one.share for one in found if one.layer in worst)
    content: Any = {model: {"quantize": {"overrides": dict.fromkeys(worst, "w8a16")}}}
    head = (
        f"# These {len(worst)} of {len(found)} layers make {share:.0%} of the noise. Put them into\n"
        f"# conf/base/parameters/{model}.yml; `float` instead of `w8a16` where LiteRT is among the runtimes.\n"
    )
    return (head + yaml.safe_dump(content, sort_keys=False)).encode()
