"""Learn for every weight whether to round it up or down.

Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, 2020; AIMET's implementation.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.core.types import Precision
from edge_pipeline.quantization.data import Batches, forward
from edge_pipeline.quantization.hardware import hardware_rules
from edge_pipeline.quantization.layout import Layout


def adaround(
    prepared: fx.GraphModule,
    inputs: tuple[torch.Tensor, ...],
    layout: Layout,
    batches: Batches,
    iterations: int,
    simulate: Callable[[fx.GraphModule], Any],
) -> Any:
    """Return an uncalibrated simulation of the network with rounded weights, whose ranges are frozen.

    Args:
        prepared: the float network; it is not changed.
        inputs: one sample, for tracing.
        layout: number formats.
        batches: what each layer's output is reconstructed on.
        iterations: optimizer steps of each layer.
        simulate: makes a simulation of a prepared network.

    Raises:
        QuantizationError: AIMET cannot round this network.
    """
    from aimet_torch.adaround.adaround_weight import Adaround, AdaroundParameters
    from aimet_torch.common.defs import QuantScheme

    scheme = QuantScheme.min_max if layout.scheme == "min_max" else QuantScheme.post_training_tf_enhanced
    settings = AdaroundParameters(batches, len(batches), default_num_iterations=iterations, forward_fn=forward)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        try:
            rounded = Adaround.apply_adaround(
                prepared,
                inputs,
                settings,
                folder,
                "weights",
                default_param_bw=layout.weight_bits,
                param_bw_override_list=_other_bits(prepared, layout),
                default_quant_scheme=scheme,
                default_config_file=str(hardware_rules(layout.hexagon, layout.per_channel, Path(folder))),
            )
        except Exception as error:
            raise QuantizationError(f"AdaRound failed: {str(error)[:300]}") from error
        path = Path(folder) / "weights.encodings"
        _leave_float(prepared, rounded, layout, path)
        sim = simulate(rounded)
        sim.set_and_freeze_param_encodings(str(path))
    return sim


def _leave_float(prepared: fx.GraphModule, rounded: fx.GraphModule, layout: Layout, path: Path) -> None:
    """Give float layers, which AIMET rounds like all others, their weights again, and forget their encodings."""
    names = [name for name, value in layout.overrides.items() if Precision(value).bits is None]
    for name in names:
        rounded.get_submodule(name).load_state_dict(prepared.get_submodule(name).state_dict())
    found = json.loads(path.read_text())["param_encodings"]
    kept = {key: one for key, one in found.items() if key.rpartition(".")[0] not in names}
    path.write_text(json.dumps({"param_encodings": kept}))


def _other_bits(prepared: fx.GraphModule, layout: Layout) -> list[tuple[Any, int]]:
    found = [(name, Precision(value).bits) for name, value in layout.overrides.items()]
    return [(prepared.get_submodule(name), bits[0]) for name, bits in found if bits and bits[0] != layout.weight_bits]
