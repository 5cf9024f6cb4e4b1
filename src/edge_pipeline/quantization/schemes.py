"""How the range of a quantizer is found from the numbers that it sees."""

from typing import Any

from torch import fx


def find_ranges_by(model: fx.GraphModule, scheme: str, percentile: float) -> None:
    """Give every quantizer AIMET's analyzer of `scheme`; `min_max` and `tf_enhanced` are there already.

    The two schemes that weigh errors, `tf_enhanced` and `mse`, weigh them behind the activation function where there is
    one.
    """
    from aimet_torch.quantization.base import QuantizerBase
    from aimet_torch.quantization.encoding_analyzer import PercentileEncodingAnalyzer, SqnrEncodingAnalyzer

    def analyzer(shape: Any) -> Any:
        if scheme == "percentile":
            return PercentileEncodingAnalyzer(shape, percentile=percentile)
        return SqnrEncodingAnalyzer(shape, gamma=1.0)  # clipping and rounding weigh the same: mean squared error

    if scheme in ("percentile", "mse"):
        for module in model.modules():
            if isinstance(module, QuantizerBase):
                found: Any = module
                found.encoding_analyzer = analyzer(found.shape)
    if scheme in ("tf_enhanced", "mse"):
        from edge_pipeline.quantization.behind_activation import BehindActivation, before_activations

        for quantizer, function in before_activations(model):
            quantizer.encoding_analyzer = BehindActivation(quantizer.shape, function)
