"""Boards in devices.yml, and what is wrong with an entry."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.boards.ssh_link import Address
from edge_pipeline.devices.inventory import DeviceSpec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("edge@192.0.2.7", Address("edge", "192.0.2.7", 22)),
        ("ssh://edge@rb3.local:2222", Address("edge", "rb3.local", 2222)),
    ],
)
def test_an_address_is_user_host_and_port(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "ssh"}, "an ssh device needs `address`"),
        ({"kind": "ssh", "address": "192.0.2.7"}, "'192.0.2.7' is no address: user@host or user@host:port"),
        ({"kind": "ssh", "address": "edge@rb3:x"}, "'edge@rb3:x' is no address"),
        ({"kind": "host", "address": "edge@rb3"}, "address: only a device of kind ssh or adb has this"),
        ({"kind": "ssh", "address": "edge@rb3", "chip": "QCS9999"}, "the chip 'QCS9999' is not known"),
        ({"kind": "ssh", "address": "edge@rb3", "runtimes": []}, "at least 1 item"),
    ],
)
def test_a_mistake_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DeviceSpec.model_validate(entry)


def test_a_board_has_the_runtimes_that_it_names() -> None:
    named = DeviceSpec(kind="ssh", address="edge@rb3", runtimes=(RuntimeName.TFLITE,))
    assert named.engines == (RuntimeName.TFLITE,)
    assert DeviceSpec(kind="ssh", address="edge@rb3").engines == (RuntimeName.ONNX, RuntimeName.TFLITE)
