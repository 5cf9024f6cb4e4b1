"""Choose the range of each layer's weights by the error of the layer's output, layer after layer; AIMET's SeqMSE."""

from typing import Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.quantization.data import Batches, forward

MOST_BITS = 4
"""AIMET's implementation leaves weights of more bits as they are."""


def seq_mse(sim: Any, batches: Batches, candidates: int) -> None:
    """Find and freeze the ranges of the weights of a simulation that has not been calibrated.

    Args:
        sim: the simulation, changed in place.
        batches: what the outputs are compared on.
        candidates: ranges tried for each output channel.

    Raises:
        QuantizationError: no weight has few enough bits, or AIMET cannot do it for this network.
    """
    from aimet_torch.seq_mse import apply_seq_mse

    weights = [w for layer in sim.model.modules() if (w := _weight_quantizer(layer)) is not None]
    if all(quantizer.bitwidth > MOST_BITS for quantizer in weights):
        raise QuantizationError(f"SeqMSE is for weights of at most {MOST_BITS} bits; leave `quantize.seq_mse` out")
    with quiet():
        try:
            apply_seq_mse(sim, batches, num_candidates=candidates, forward_fn=forward)
        except Exception as error:
            raise QuantizationError(f"SeqMSE failed: {str(error)[:300]}") from error


def _weight_quantizer(layer: Any) -> Any:
    return dict(getattr(layer, "param_quantizers", {})).get("weight")
