"""The chips that models can be prepared for."""

import pytest
from pydantic import ValidationError

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.runtimes.chips import chip, chips


@pytest.mark.parametrize(
    ("name", "soc_model", "hexagon"),
    [
        ("QCS8550", 66, "v73"),
        ("QCS6490", 93, "v68"),
        ("SA8775P", 52, "v73"),
        ("SM8650", 57, "v75"),
        ("SM8750", 69, "v79"),
        ("SC8380XP", 60, "v73"),
    ],
)
def test_a_chip_has_its_number_and_the_version_of_its_npu(name: str, soc_model: int, hexagon: str) -> None:
    found = chip(name)
    assert (found.name, found.soc_model, found.hexagon, found.note) == (name, soc_model, hexagon, "")


@pytest.mark.parametrize(("name", "expected"), [("snapdragon 8 gen 3", "SM8650"), ("qcm6490", "QCS6490")])
def test_other_names_are_understood(name: str, expected: str) -> None:
    assert chip(name).name == expected


def test_a_chip_whose_number_is_not_public_is_its_nearest_relative_and_says_so() -> None:
    found = chip("QCS5430")
    assert (found.name, found.soc_model) == ("QCS5430", chip("QCS6490").soc_model)
    assert "treated as QCS6490" in found.note


def test_every_chip_says_where_its_numbers_come_from() -> None:
    assert all(one.source for one in chips().values())
    assert len({one.soc_model for one in chips().values()}) == len({one.name for one in chips().values()}) - 1


def test_an_unknown_chip_is_refused_with_the_closest_names() -> None:
    with pytest.raises(DeviceError, match=r"the chip 'QCS8560' is not known; did you mean 'QCS8550'\?"):
        chip("QCS8560")
    with pytest.raises(ValidationError, match="'QCS8560' is not known"):
        DeviceSpec(kind="host", chip="QCS8560")


def test_a_device_follows_the_rules_of_its_chip() -> None:
    assert DeviceSpec(kind="host", chip="Snapdragon 8 Elite").hexagon == "v79"
    assert DeviceSpec(kind="host").hexagon is None
