"""How the range of a quantizer is found from the numbers that it sees."""

from typing import Any

from torch import fx

CLIPPING = {"tf_enhanced": 3.0, "mse": 1.0}
"""How much dearer an error of clipping is than one of rounding; 3 is AIMET's own factor for `tf_enhanced`. AIMET's own
analyzer of that name looks no further than three times the range of the first batch: where rare large numbers came
later, it cut outputs of YOLOv8 to 4 dB."""


def find_ranges_by(model: fx.GraphModule, scheme: str, percentile: float) -> None:
    """Give every quantizer AIMET's analyzer of `scheme`; that of `min_max` is there already.

    The two schemes that weigh errors, `tf_enhanced` and `mse`, weigh them behind the activation function where there is
    one.
    """
    from aimet_torch.quantization.base import QuantizerBase
    from aimet_torch.quantization.encoding_analyzer import PercentileEncodingAnalyzer, SqnrEncodingAnalyzer

    def analyzer(shape: Any) -> Any:
        if scheme == "percentile":
            return PercentileEncodingAnalyzer(shape, percentile=percentile)
        return SqnrEncodingAnalyzer(shape, gamma=CLIPPING[scheme])

    if scheme != "min_max":
        for module in model.modules():
            if isinstance(module, QuantizerBase):
                found: Any = module
                found.encoding_analyzer = analyzer(found.shape)
    if scheme in CLIPPING:
        from edge_pipeline.quantization.behind_activation import BehindActivation, before_activations

        for quantizer, function in before_activations(model):
            quantizer.encoding_analyzer = BehindActivation(quantizer.shape, function)
