"""AIMET post-training quantization: prepare, fold or equalize, simulate, calibrate."""

import copy
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.models.pixels import TAKES_PIXELS
from edge_pipeline.quantization.hardware import hardware_rules
from edge_pipeline.quantization.layout import Layout, apply_overrides
from edge_pipeline.quantization.rewrite import without_identities, without_transposed_convolutions
from edge_pipeline.quantization.schemes import find_ranges_by
from edge_pipeline.quantization.structure import fix_pixels, fix_ranges, settle
from edge_pipeline.quantization.unquantized import leave_unknown_float


def prepare(net: nn.Module, inputs: tuple[torch.Tensor, ...], *, equalize: bool, fold: bool = True) -> fx.GraphModule:
    """Return a traced copy with batch norms folded (unless told not to), and channel ranges equalized if asked.

    Cross-layer equalization: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias
    Correction, 2019. The structure depends on the network alone, so weights saved from one prepared copy load
    into another. Modules of a class with the attribute `stays_float` are kept whole, and are not quantized later.

    Raises:
        QuantizationError: the network cannot be traced.
    """
    takes_pixels = getattr(net, TAKES_PIXELS, False)
    with quiet():
        from aimet_torch.batch_norm_fold import fold_all_batch_norms
        from aimet_torch.cross_layer_equalization import equalize_model
        from aimet_torch.model_preparer import prepare_model

        copied = copy.deepcopy(net).eval()
        without_transposed_convolutions(copied)
        try:
            traced = prepare_model(copied, module_classes_to_exclude=_leave_float(copied)).eval()
        except Exception as error:
            raise QuantizationError(
                f"the network cannot be traced for quantization: {str(error)[:300]}. Use modules instead of "
                "data-dependent Python control flow in its forward()."
            ) from error
        if equalize:
            equalize_model(traced, dummy_input=inputs)
        elif fold:
            fold_all_batch_norms(traced, None, dummy_input=inputs)
    found = without_identities(traced)
    found.meta[TAKES_PIXELS] = takes_pixels
    return found


def simulate(prepared: fx.GraphModule, inputs: tuple[torch.Tensor, ...], layout: Layout) -> Any:
    """Return an uncalibrated `QuantizationSimModel`, its structure settled.

    The same network and layout give the same structure, so that the state of a calibrated simulation loads into it.

    Raises:
        QuantizationError: an override names a layer that is not there.
    """
    with quiet(), tempfile.TemporaryDirectory() as folder:
        from aimet_torch.common.defs import QuantScheme
        from aimet_torch.v2.quantsim import QuantizationSimModel

        _leave_float(prepared)
        leave_unknown_float(prepared)
        sim = QuantizationSimModel(
            prepared,
            inputs,
            quant_scheme=QuantScheme.min_max if layout.scheme == "min_max" else QuantScheme.post_training_tf_enhanced,
            default_output_bw=layout.activation_bits,
            default_param_bw=layout.weight_bits,
            config_file=str(hardware_rules(layout.hexagon, layout.per_channel, Path(folder))),
        )
        settle(sim.model)
        apply_overrides(sim.model, layout.overrides)
        fix_ranges(sim.model)
        if prepared.meta.get(TAKES_PIXELS):
            fix_pixels(sim.model)
        find_ranges_by(sim.model, layout.scheme, layout.percentile)
    return sim


def calibrate(sim: Any, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Compute all encodings from batches of the network's inputs.

    Raises:
        QuantizationError: an input or an output is NaN or infinite, or there is no sample.
    """
    seen = 0

    def forward(model: nn.Module) -> None:
        nonlocal seen
        with torch.no_grad():
            for inputs in batches:
                if not _finite(inputs):
                    raise QuantizationError("a calibration sample holds NaN or infinite values")
                outputs = model(*inputs)
                if not _finite(outputs if isinstance(outputs, tuple | list) else (outputs,)):
                    raise QuantizationError("the network's output is NaN or infinite on a calibration sample")
                seen += len(inputs[0])

    with quiet():
        sim.compute_encodings(forward)
    if not seen:
        raise QuantizationError("the calibration set has no samples; raise `quantize.calibration_images`")


def fill(sim: Any, state: dict[str, torch.Tensor], *, frozen_weights: bool = False) -> None:
    """Give a simulation of the same structure the state of a calibrated one.

    Args:
        sim: as `simulate` returns it.
        state: of the model of the calibrated simulation.
        frozen_weights: whether another calibration shall leave the ranges of weights as they are.
    """
    sim.model.load_state_dict(state)
    sim.model.eval()
    if frozen_weights:
        for layer in sim.model.modules():
            for quantizer in getattr(layer, "param_quantizers", {}).values():
                if quantizer is not None:
                    quantizer.allow_overwrite(False)


def encodings(sim: Any) -> dict[str, Any]:
    """Return scale, offset and bit width of every quantizer by its module's name."""
    with quiet():
        found: dict[str, Any] = {}
        for name, quantizer in sim.model.named_modules():
            get = getattr(quantizer, "get_encodings", None)
            encoding = get() if get else None
            if encoding is not None:
                found[name] = {
                    "scale": encoding.scale.detach().flatten().tolist(),
                    "offset": encoding.offset.detach().flatten().tolist(),
                    "bitwidth": encoding.bitwidth,
                }
    return found


def _leave_float(net: nn.Module) -> list[type[nn.Module]]:
    """Tell AIMET which classes of modules stay whole and float, and return them."""
    from aimet_torch.nn import QuantizationMixin

    kinds = list({type(module) for module in net.modules() if getattr(module, "stays_float", False)})
    for kind in kinds:
        QuantizationMixin.ignore(kind)
    return kinds


def _finite(tensors: Iterable[torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
