"""Convert a PyTorch exported program to TFLite: `python -m edge_pipeline.runtimes.litert_convert IN OUT MODE`.

MODE is `float`, `float16` for weights of half the size, or `quantized` for a program that holds quantize and dequantize
operators; these become integer operators with the same scales.
"""

import logging
import sys
import warnings
from pathlib import Path

from edge_pipeline.core.child import die_with_parent


def convert(source: str, result: str, mode: str) -> None:
    """Write the TFLite model of the program `source` to `result`."""
    import litert_torch
    import torch
    import torchao  # noqa: F401  (defines operators that the program holds)
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    program = torch.export.load(source)
    example, _ = program.example_inputs
    config = None
    if mode == "quantized":
        scheme = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
        config = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(scheme))
    litert_torch.convert(program.module(), example, quant_config=config).export(result)
    if mode == "float16":
        _halve_weights(result)


def _halve_weights(path: str) -> None:
    """Store the weights of a float model as float16; engines compute with them in float16 where they can."""
    from ai_edge_quantizer import qtyping, quantizer

    halved = quantizer.Quantizer(path)
    halved.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    model = halved.quantize().quantized_model
    Path(path).write_bytes(model)


if __name__ == "__main__":
    die_with_parent()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    convert(*sys.argv[1:4])
