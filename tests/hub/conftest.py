"""A hub on a free loopback port, and the unmodified `qai_hub` client, which knows it by its client.ini."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import requests
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_pipeline.devices.inventory import DeviceSpec

DEVICES = {
    "host": DeviceSpec(kind="host"),
    "npu": DeviceSpec(kind="htp_emulator", chip="QCS8550", labels=("lab",)),
}

StartHub = Callable[..., Any]


@pytest.fixture
def start_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartHub]:
    """Return a function that starts a hub; `hub.client()` is a client, `hub.end()` ends it early."""
    import qai_hub
    from qai_hub import client as library

    from edge_pipeline.hub.serve import Hub, client_ini

    monkeypatch.setattr(library.Job, "_polling_interval", 0.25)
    with ExitStack() as stack:

        def start(folder: Path = tmp_path / "hub", devices: Any = DEVICES, **limits: int) -> Any:
            hub = Hub(folder, devices, **limits)
            thread = hub.start()

            def end() -> None:
                hub.stop()
                thread.join(20)
                assert not thread.is_alive()

            def client(token: str = hub.token) -> Any:
                ini = tmp_path / "client.ini"
                ini.write_text(client_ini(hub.address, token).replace("verbose = True", "verbose = False"))
                monkeypatch.setenv("QAIHUB_CLIENT_INI", str(ini))
                return qai_hub.Client()

            stack.callback(end)
            _answers(hub.address)
            return SimpleNamespace(
                hub=hub, address=hub.address, token=hub.token, faults=hub.faults, folder=folder, client=client, end=end
            )

        yield start


@pytest.fixture
def hub(start_hub: StartHub) -> Any:
    return start_hub()


@pytest.fixture
def client(hub: Any) -> Any:
    return hub.client()


@pytest.fixture
def host(client: Any) -> Any:
    import qai_hub

    return qai_hub.Device("host")


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a product: input `image` (1, 3, 8, 8), outputs `scores` (1, 5) and `map` (1, 4, 8, 8)."""
    random = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32) / 4, name)

    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["convolved"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Relu", ["convolved"], ["map"], name="relu"),
        helper.make_node("Flatten", ["map"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"], name="product"),
    ]
    tensors = {"image": (1, 3, 8, 8), "scores": (1, 5), "map": (1, 4, 8, 8)}
    image, *outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items())
    graph = helper.make_graph(
        nodes, "small", [image], outputs, [weight("kernel", 4, 3, 3, 3), weight("matrix", 256, 5)]
    )
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def images() -> list[NDArray[np.float32]]:
    random = np.random.default_rng(2)
    return [random.random((1, 3, 8, 8), dtype=np.float32) for _ in range(5)]


def run_here(model: Path, images: list[NDArray[np.float32]]) -> dict[str, list[NDArray[np.float32]]]:
    """Return the outputs of a model that ONNX Runtime runs in this process."""
    from edge_pipeline.runtimes.session import open_session

    session = open_session("onnx", model.read_bytes(), threads=1)
    names = [one.name for one in onnx.load(str(model)).graph.output]
    rows = [session.invoke([image]) for image in images]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def _answers(address: str) -> None:
    for _ in range(200):
        try:
            requests.get(address, timeout=1)
            return
        except requests.ConnectionError:
            time.sleep(0.02)
    raise AssertionError("the hub does not answer")
