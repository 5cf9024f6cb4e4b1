"""Apply the chosen techniques to a network, in the order in which each builds on those before."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.calibration import Inputs
from edge_pipeline.pipelines.quantize.parameters import Mixed, Qat, QuantizeParameters
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.quantization.power_of_two import make_rescaling_exact
from edge_pipeline.quantization.sensitivity import sensitivity, worth_overriding


@dataclass(frozen=True)
class Asked:
    """What is asked for one simulation.

    Attributes:
        precision: of weights and activations.
        hexagon: version of the NPU of the target devices, whose rules AIMET follows.
        high: the finer precision that all runtimes of the targets take in single layers.
        npu: whether a target device has an NPU.
        name: shown to the user.
    """

    precision: Precision
    hexagon: str
    high: str
    npu: bool
    name: str


class Subject:
    """A fine-tuned network, and what its techniques learn from.

    Attributes:
        spec: the model.
        weights: the fine-tuned network.
        calibration: the calibration images.
        training: indices of the training part.
        inputs: one sample of zeros, for tracing.
        network: the float network.
    """

    def __init__(self, spec: ModelSpec, weights: Artifact, calibration: Inputs, training: tuple[int, ...]) -> None:
        self.spec, self.calibration, self.training = spec, calibration, training
        self.inputs = recipes.dummy_inputs(spec)
        self.network = recipes.restore(spec, weights)

    def prepared(self, *, equalize: bool, fold: bool = True) -> Any:
        """Return the float network, traced."""
        return ptq.prepare(self.network, self.inputs, equalize=equalize, fold=fold)


def layout_of(parameters: QuantizeParameters, asked: Asked, overrides: Mapping[str, str]) -> Layout:
    """Return the number formats that the parameters ask for."""
    weight_bits, activation_bits = parameters.bits(asked.precision)
    return Layout(
        weight_bits,
        activation_bits,
        {**overrides, **parameters.overrides},
        parameters.scheme,
        parameters.percentile,
        asked.hexagon if parameters.hexagon == "auto" else parameters.hexagon,
        parameters.per_channel,
        asked.npu if parameters.power_of_two == "auto" else parameters.power_of_two,
    )


def quantized(subject: Subject, parameters: QuantizeParameters, layout: Layout) -> Any:
    """Return a calibrated simulation, made with every technique of `parameters`."""
    prepared = subject.prepared(equalize=parameters.cross_layer_equalization)

    def simulate(network: Any) -> Any:
        return ptq.simulate(network, subject.inputs, layout)

    def calibrate(sim: Any) -> None:
        ptq.calibrate(sim, subject.calibration)
        _settle_scales(sim, layout)

    if parameters.adaround:
        from edge_pipeline.quantization.adaround import adaround

        images = subject.calibration.first(parameters.adaround.images)
        sim = adaround(prepared, subject.inputs, layout, images, parameters.adaround.iterations, simulate)
    else:
        sim = simulate(prepared)
    if parameters.seq_mse:
        from edge_pipeline.quantization.seq_mse import seq_mse

        seq_mse(sim, subject.calibration.first(parameters.seq_mse.images), parameters.seq_mse.candidates)
    calibrate(sim)
    if parameters.bn_reestimation:
        from edge_pipeline.quantization.bn_reestimation import reestimate_batch_norms

        unfolded = subject.prepared(equalize=False, fold=False)
        if not reestimate_batch_norms(sim, unfolded, subject.calibration):
            raise QuantizationError("the network has no batch norm; set `quantize.bn_reestimation: false`")
        calibrate(sim)
    if parameters.bias_correction:
        from edge_pipeline.quantization.bias_correction import correct_biases

        correct_biases(sim.model, prepared, subject.calibration)
    if parameters.qat:
        sim = retrained(subject, sim, layout, parameters.qat, equalize=parameters.cross_layer_equalization)
    return sim


def _settle_scales(sim: Any, layout: Layout) -> None:
    """Choose the weight scales that depend on those of activations, once these are known."""
    if layout.power_of_two:
        make_rescaling_exact(sim.model)


def overridden(subject: Subject, sim: Any, layout: Layout, *, equalize: bool) -> Any:
    """Return a calibrated simulation of another layout with the weights of `sim`, and their frozen ranges."""
    found = ptq.simulate(subject.prepared(equalize=equalize), subject.inputs, layout)
    found.model.load_state_dict(sim.model.state_dict(), strict=False)
    frozen = {name for name, one in _weight_quantizers(sim) if not one._allow_overwrite}
    for name, quantizer in _weight_quantizers(found):
        if name in frozen:
            quantizer.allow_overwrite(False)
    ptq.calibrate(found, subject.calibration)
    _settle_scales(found, layout)
    found.model.eval()
    return found


def _weight_quantizers(sim: Any) -> Iterator[tuple[str, Any]]:
    for name, layer in sim.model.named_modules():
        for key, quantizer in getattr(layer, "param_quantizers", {}).items():
            if quantizer is not None:
                yield f"{name}.{key}", quantizer


def mixed(
    subject: Subject, sim: Any, layout: Layout, settings: Mixed, high: str, *, equalize: bool
) -> tuple[Any, Layout]:
    """Give the layers that make most of the noise a finer precision; return simulation and layout."""
    found = sensitivity(sim, subject.calibration.first(32), None, lambda *_: None)
    finer = high if settings.high == "auto" else settings.high
    if finer == "off":
        raise QuantizationError(
            "there is no finer precision that all targets of `mixed` run: LiteRT takes float layers, and the NPU of "
            "one of the devices only integers; leave one of them out"
        )
    layout = replace(layout, overrides=dict.fromkeys(worth_overriding(found, settings.share), finer))
    return overridden(subject, sim, layout, equalize=equalize), layout


def retrained(subject: Subject, sim: Any, layout: Layout, settings: Qat, *, equalize: bool) -> Any:
    """Return a copy of a calibrated simulation after quantization-aware training."""
    from edge_pipeline.pipelines.loading import training_batches
    from edge_pipeline.quantization.qat import distillation, train_quantized

    graph = sim.connected_graph  # shared: it never changes, and is too deep to copy
    found = copy.deepcopy(sim, {id(graph): graph})
    if settings.loss == "distillation":
        loss = distillation(subject.prepared(equalize=equalize))
    else:
        net = recipes.recipe(subject.spec).build(recipes.without_download(subject.spec))
        if recipes.training_forward(net) is not net:
            raise QuantizationError(
                "this model's loss takes outputs that the quantized network does not have; set "
                "`quantize.qat.loss: distillation`"
            )
        criterion = recipes.recipe(subject.spec).criterion(net, subject.spec)

        def loss(outputs: Any, inputs: Any, truths: Any) -> torch.Tensor:
            return criterion(outputs, truths)

    def steps() -> Any:
        done = epoch = 0
        while done < settings.steps:
            generator = torch.Generator().manual_seed(epoch)
            order = [subject.training[i] for i in torch.randperm(len(subject.training), generator=generator)]
            order = order[: (settings.steps - done) * settings.batch_size]
            for batch in training_batches(
                subject.calibration.samples,
                subject.calibration.interface,
                order,
                settings.batch_size,
                workers=settings.workers,
                epoch=epoch,
            ):
                yield tuple(torch.from_numpy(one) for one in batch.inputs), batch.truths
                done += 1
            epoch += 1

    train_quantized(
        found,
        steps(),
        settings.steps,
        loss,
        learning_rate=settings.learning_rate,
        learn_ranges=settings.learn_ranges,
    )
    _settle_scales(found, layout)
    return found
