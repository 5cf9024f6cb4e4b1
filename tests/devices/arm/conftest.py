"""One emulated board for the tests of a worker."""

from collections.abc import Callable, Iterator

import pytest

from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.arm.board import emulated_board


@pytest.fixture(scope="session")
def arm_board(
    lacking: Callable[[str], None], needs: Callable[[str], object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeviceSpec]:
    needs("asyncssh")
    with emulated_board(tmp_path_factory.mktemp("arm"), lacking) as spec:
        yield spec
