"""A release on a device behind the real adb."""

from collections.abc import Callable

import pytest

from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.boards import Station
from edge_pipeline.fleet.bundle import Content, DeviceClass, read_bundle
from edge_pipeline.fleet.errors import DeployError
from edge_pipeline.fleet.keys import PublicKey
from tests.devices.adb.conftest import adb, adb_server, board, phone, tools
from tests.fleet.conftest import changed, model_folder

__all__ = ["adb", "adb_server", "board", "phone", "tools"]


def test_a_release_is_deployed_refused_and_taken_back(
    board: DeviceSpec, release: Callable[..., bytes], trusted: list[PublicKey]
) -> None:
    def deploy(data: bytes) -> str:
        return wait_for(Station("phone", board, trusted).deploy(read_bundle(data, trusted)))

    assert deploy(release(1)) == "golden test 200.0 dB"
    with pytest.raises(DeployError, match="release 1 is in use, as before"):
        deploy(release(2, wrong=True))
    deploy(release(3))
    current = model_folder(board) / "current"
    assert (current / "artifact" / "version.txt").read_text() == "3"
    assert wait_for(Station("phone", board, trusted).back("digits")).startswith("version 1, golden test")
    assert (current / "artifact" / "version.txt").read_text() == "1"


def test_a_board_that_has_another_chip_than_its_entry_says(
    board: DeviceSpec, release: Callable[..., bytes], content: Content, trusted: list[PublicKey]
) -> None:
    for chip in ("QCS6490", "QCS8550"):  # the device says that it has the latter
        targets = changed(content, fits=DeviceClass(RuntimeName.ONNX, (), chip, "adb"))
        station = Station("phone", board.model_copy(update={"chip": chip}), trusted)
        bundle = read_bundle(release(targets=targets), trusted)
        if chip == "QCS8550":
            wait_for(station.deploy(bundle))
            continue
        with pytest.raises(DeployError, match="the board has a QCS8550, "):
            wait_for(station.deploy(bundle))
        assert not model_folder(board).exists()
