"""`quantize: auto`: the rungs, and how a simulation is judged."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.files import sha256
from edge_pipeline.core.progress import advance, listeners
from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.pipelines.finetune.fingerprint import file_of
from edge_pipeline.pipelines.quantize.calibration import Inputs
from edge_pipeline.pipelines.quantize.ladder import TIE, Attempt, Budget, Candidate, Notes, Rung, climb
from edge_pipeline.pipelines.quantize.parameters import Auto, QuantizeParameters
from edge_pipeline.pipelines.quantize.techniques import Asked, Subject, layout_of, overridden, quantized, retrained
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.quantization.sensitivity import outputs_sqnr, sensitivity, worth_overriding
from edge_pipeline.quantization.seq_mse import MOST_BITS

SQNR_IMAGES = 64
"""Number of validation images whose outputs are compared with the float network's."""

PLAIN: dict[str, Any] = {
    "cross_layer_equalization": False,
    "bias_correction": False,
    "bn_reestimation": False,
    "seq_mse": None,
    "adaround": None,
    "qat": None,
}


def automatic(
    subject: Subject,
    split: Split,
    weights: Artifact,
    folder: Path,
    parameters: QuantizeParameters,
    asked: Asked,
) -> tuple[Any, Layout, QuantizeParameters, list[Attempt]]:
    """Return the best simulation, its layout, the parameters that made it, and every attempt.

    Args:
        subject: the network and its calibration images.
        split: whose validation part judges.
        weights: the fine-tuned network.
        folder: where the attempts are kept.
        parameters: with `auto`.
        asked: precision, hardware and name.
    """
    auto = parameters.auto
    assert auto
    judge, reference = _judge(subject, split, auto, parameters.batch_size)
    sign = 1 if auto.higher_is_better else -1
    least = reference - sign * auto.max_drop
    tie = max(TIE, 2 / min(auto.images, len(split.validation)))
    budget = Budget(least, auto.min_sqnr_db, 60 * auto.minutes, auto.higher_is_better, tie)

    def with_changes(changes: Mapping[str, Any]) -> QuantizeParameters:
        return QuantizeParameters.model_validate({**parameters.model_dump(), **PLAIN, **changes})

    def restore(attempt: Attempt, state: Any) -> Any:
        mine = with_changes(attempt.changes)
        layout = layout_of(mine, asked, attempt.overrides)
        prepared = subject.prepared(equalize=mine.cross_layer_equalization)
        sim = ptq.simulate(prepared, subject.inputs, layout)
        ptq.fill(sim, state, frozen_weights=bool(mine.adaround or mine.seq_mse))
        return sim

    rungs = _rungs(subject, auto, asked, with_changes)
    step = f"{asked.name}: quantize"
    for listener in listeners:
        listener.started(step, len(rungs))
    done = 0

    def tell(attempt: Attempt) -> None:
        nonlocal done
        done += 1
        advance(step, done, _told(attempt, reference))

    told = [asked.precision.value, asked.hexagon, asked.high, asked.npu, list(split.validation)]
    notes = Notes(folder, _fingerprint(subject, weights, parameters, told))
    try:
        candidate, attempts = climb(rungs, judge, budget, notes, restore, tell)
    finally:
        for listener in listeners:
            listener.ended(step)
    chosen = with_changes(candidate.changes)
    layout = layout_of(chosen, asked, candidate.overrides)
    return candidate.simulation, layout, chosen, [Attempt("float", reference, kept=False), *attempts]


def _rungs(
    subject: Subject,
    auto: Auto,
    asked: Asked,
    with_changes: Callable[[Mapping[str, Any]], QuantizeParameters],
) -> list[Rung]:
    high = asked.high if auto.high == "auto" else auto.high
    asked_scheme = with_changes({}).scheme

    def static(**more: Any) -> Callable[[Candidate | None], Candidate]:
        """A rung that quantizes the float network again, with the changes of the best so far and `more`."""

        def make(best: Candidate | None) -> Candidate:
            changes = {**(best.changes if best else {}), **more}
            if changes.get("bn_reestimation") and changes.get("cross_layer_equalization"):
                raise QuantizationError("left out: the channels were equalized, which was better")
            mine = with_changes(changes)
            return Candidate(quantized(subject, mine, layout_of(mine, asked, {})), changes, {})

        return make

    def mixed(share: float) -> Callable[[Candidate | None], Candidate]:
        """A rung that gives the layers which make `share` of the noise the precision `high`."""

        def make(best: Candidate | None) -> Candidate:
            assert best
            found = sensitivity(best.simulation, subject.calibration.first(SQNR_IMAGES // 2), None, lambda *_: None)
            overrides = {**best.overrides, **dict.fromkeys(worth_overriding(found, share), high)}
            mine = with_changes(best.changes)
            layout = layout_of(mine, asked, overrides)
            made = overridden(subject, best.simulation, layout, equalize=mine.cross_layer_equalization)
            return Candidate(made, best.changes, overrides)

        return make

    def training(best: Candidate | None) -> Candidate:
        assert best
        mine = with_changes(best.changes)
        layout = layout_of(mine, asked, best.overrides)
        trained = retrained(subject, best.simulation, layout, auto.qat, equalize=mine.cross_layer_equalization)
        return Candidate(trained, {**best.changes, "qat": auto.qat.model_dump()}, best.overrides)

    other = "tf_enhanced" if asked_scheme == "min_max" else asked_scheme
    rungs = [
        Rung("calibrate, correct biases", static(scheme="min_max", bias_correction=True)),
        Rung("calibrate", static(scheme="min_max", bias_correction=False)),
        Rung(f"ranges by {other}", static(scheme=other)),
        Rung("cross-layer equalization", static(cross_layer_equalization=True)),
        Rung("batch-norm re-estimation", static(bn_reestimation=True)),
    ]
    rounding = Rung("AdaRound", static(adaround=auto.adaround.model_dump(), seq_mse=None, qat=None))
    few_bits = with_changes({}).bits(asked.precision)[0] <= MOST_BITS
    if few_bits:
        rungs += [Rung("SeqMSE", static(seq_mse=auto.seq_mse.model_dump())), rounding]
    if high not in ("off", asked.precision.value):
        rungs += [Rung(f"{high} for {share:.0%} of the noise", mixed(share)) for share in (0.5, 0.8, 0.95)]
    rungs.append(Rung("quantization-aware training", training))
    return rungs if few_bits else [*rungs, rounding]


def _judge(
    subject: Subject, split: Split, auto: Auto, batch_size: int
) -> tuple[Callable[[Any], tuple[float, float]], float]:
    """Return what measures metric and SQNR of a simulation, and the metric of the float network."""
    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.pipelines.finetune.evaluation import evaluate
    from edge_pipeline.tasks.user_metric import UserMetric

    samples, interface = subject.calibration.samples, subject.calibration.interface
    chosen = balanced_subset(samples, split.validation, auto.images, split.seed)
    compared = Inputs(samples, interface, chosen[:SQNR_IMAGES], batch_size)
    net = subject.network
    wanted = outputs_sqnr(net, compared)

    def metric(one: torch.nn.Module) -> float:
        own = UserMetric(subject.spec.metric) if subject.spec.metric else None
        found = evaluate(one, subject.spec, samples, chosen, None, batch_size, 0, torch.device("cpu"), own)
        key = f"validation_{auto.metric}"
        if key not in found:
            known = ", ".join(sorted(name.removeprefix("validation_") for name in found))
            raise QuantizationError(f"quantize.auto.metric: there is no metric '{auto.metric}'; there are {known}")
        return found[key]

    def judge(sim: Any) -> tuple[float, float]:
        return metric(sim.model), wanted(sim.model)

    return judge, metric(net)


def _told(attempt: Attempt, reference: float) -> str:
    if attempt.metric is None or attempt.sqnr_db is None:
        return f"{attempt.rung}: left out"
    drop = 100 * (attempt.metric - reference)
    return f"{attempt.rung}: {drop:+.2f} points, {attempt.sqnr_db:.1f} dB"


def _fingerprint(subject: Subject, weights: Artifact, parameters: QuantizeParameters, more: list[Any]) -> str:
    """Return what tells one climb from another: whatever its result depends on, the code included."""
    package = Path(__file__).parents[2]
    code = [*(package / "quantization").glob("*.py"), *(package / "pipelines" / "quantize").glob("*.py")]
    code += file_of(subject.spec.metric.partition(":")[0]) if subject.spec.metric else []
    content = [
        weights.hash,
        parameters.model_dump(mode="json"),
        list(subject.calibration.indices),
        more,
        [sha256(path.read_bytes()) for path in sorted(code)],
        [version("aimet-torch"), version("torch")],
    ]
    return sha256(json.dumps(content, sort_keys=True).encode())


def records(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Return the attempts as what is kept in a manifest."""
    return [asdict(replace(one, changes=dict(one.changes), overrides=dict(one.overrides))) for one in attempts]
