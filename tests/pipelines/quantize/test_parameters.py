from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.types import Precision
from edge_pipeline.pipelines.parameters import ModelParameters
from edge_pipeline.pipelines.quantize.parameters import Auto, QuantizeParameters


def test_auto_is_short_for_an_automatic_climb_with_its_defaults() -> None:
    found = ModelParameters.model_validate({"quantize": "auto"}).quantize
    assert found == QuantizeParameters(auto=Auto())


def test_without_auto_nothing_is_automatic() -> None:
    assert QuantizeParameters().auto is None
    assert QuantizeParameters().techniques == ["cross_layer_equalization"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"bn_reestimation": True}, "bn_reestimation and cross_layer_equalization exclude each other"),
        ({"seq_mse": {}, "adaround": {}}, "seq_mse and adaround exclude each other"),
        ({"auto": {"minutes": 0}}, "greater than 0"),
        ({"auto": {"max_drop": -0.1}}, "greater than or equal to 0"),
        ({"auto": {"high": "w4a8"}}, "'auto', 'off', 'float' or 'w8a16'"),
        ({"percentile": 50}, "greater than 50"),
        ({"percentile": 101}, "less than or equal to 100"),
        ({"overrides": {"head": "int8"}}, "overrides.head"),
        ({"overrides": {"head": "mixed"}}, "overrides.head"),
        ({"qat": {"steps": 0}}, "greater than or equal to 1"),
        ({"qat": {"learning_rate": 0}}, "greater than 0"),
        ({"qat": {"loss": "mse"}}, "'distillation' or 'task'"),
        ({"adaround": {"iterations": 0}}, "greater than or equal to 1"),
        ({"seq_mse": {"candidates": 1}}, "greater than or equal to 2"),
        ({"mixed": {"share": 0}}, "greater than 0"),
        ({"mixed": {"low": "float"}}, "mixed.low"),
        ({"scheme": "max"}, "scheme"),
        ({"hexagon": "v70"}, "hexagon"),
        ("automatic", "valid dictionary"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(given: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        QuantizeParameters.model_validate(given)
    assert expected in str(raised.value)


def test_techniques_are_told_in_the_order_of_their_application() -> None:
    given = {"cross_layer_equalization": False, "qat": {}, "bias_correction": True, "bn_reestimation": True}
    found = QuantizeParameters.model_validate({**given, "adaround": {}})
    assert found.techniques == ["adaround", "bn_reestimation", "bias_correction", "qat"]


@pytest.mark.parametrize(
    ("precision", "expected"), [("w8a8", (8, 8)), ("w8a16", (8, 16)), ("w4a8", (4, 8)), ("mixed", (4, 16))]
)
def test_bits_are_those_of_the_precision_or_of_the_lower_one(precision: str, expected: tuple[int, int]) -> None:
    found = QuantizeParameters.model_validate({"mixed": {"low": "w4a16"}})
    assert found.bits(Precision(precision)) == expected


def test_what_an_onnx_model_cannot_have_is_named() -> None:
    given = {"qat": {}, "overrides": {"a": "float"}, "scheme": "mse", "power_of_two": True}
    found = QuantizeParameters.model_validate(given)
    assert found.only_for_networks == ["qat", "overrides", "power_of_two", "scheme: mse"]
    assert QuantizeParameters().only_for_networks == []
