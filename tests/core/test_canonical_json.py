import json

import pytest

from edge_pipeline.core.files import json_bytes, sha256


def test_equal_values_have_equal_bytes_whatever_the_order_of_keys() -> None:
    assert json_bytes({"b": [1, {"y": 2, "x": 3}], "a": None}) == json_bytes({"a": None, "b": [1, {"x": 3, "y": 2}]})


def test_different_values_have_different_hashes() -> None:
    assert sha256(json_bytes({"a": 1})) != sha256(json_bytes({"a": 2}))


def test_what_is_written_can_be_read() -> None:
    value = {"text": "ü\n", "numbers": [0.1, -1e-300, 2**60], "none": None}
    assert json.loads(json_bytes(value)) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"deep": [number]})


def test_the_hash_is_sha_256() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
