"""Small networks with what is hard to quantize, and the way from one to a simulation and an ONNX file."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.export import to_onnx
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.runtimes.session import open_session, run


class Branches(nn.Module):
    """Split, concatenation, poolings, padding, both kinds of upsampling, addition, SiLU, equal biases."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.pad = nn.ZeroPad2d(1)
        self.after = nn.Sequential(nn.Conv2d(24, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Conv2d(16, 4, 1)
        nn.init.constant_(self.last.bias, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        halves = torch.split(x, [8, 8], 1)
        joined = torch.cat([halves[0], halves[1], halves[1] + self.left(halves[1])], 1)
        wide = self.up(self.after(self.pad(self.pool(joined))))
        return F.interpolate(self.last(wide), size=(32, 32), mode="bilinear", align_corners=False)


class Separable(nn.Module):
    """Depthwise convolution with ReLU6, as in MobileNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.last = nn.Conv2d(16, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.depthwise(self.first(x)))


class Several(nn.Module):
    """Two inputs of one shape, twelve outputs of one shape; none can be told from another but by its place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(12))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        joined = torch.relu(self.one(x) + self.other(y))
        return tuple(head(joined) for head in self.heads)


class Enlarging(nn.Module):
    """A transposed convolution that doubles the size, another whose windows overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.twice = nn.ConvTranspose2d(8, 6, 2, 2)
        self.overlapping = nn.ConvTranspose2d(6, 4, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.overlapping(torch.relu(self.twice(self.first(x))))


def _settled(net: nn.Module, *samples: torch.Tensor) -> nn.Module:
    """Let the batch norms see the samples, so that they are no identities."""
    with torch.no_grad():
        for _ in range(20):
            net(*samples)
    return net.eval()


@pytest.fixture(scope="session")
def pictures() -> torch.Tensor:
    return torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def others() -> torch.Tensor:
    return torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def network(one_thread: None, pictures: torch.Tensor, others: torch.Tensor) -> Callable[[str], nn.Module]:
    """Return a function that makes one of the networks above, by name, always the same."""
    kinds = {"branches": Branches, "separable": Separable, "several": Several, "enlarging": Enlarging}

    def make(name: str) -> nn.Module:
        torch.manual_seed(0)
        return _settled(kinds[name](), *((pictures, others) if name == "several" else (pictures,)))

    return make


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Any]:
    """Return a function that makes a simulation of a network; calibrated on the samples unless told otherwise."""

    def make(net: nn.Module, *samples: torch.Tensor, calibrated: bool = True, equalize: bool = False) -> Any:
        inputs = tuple(torch.zeros_like(one[:1]) for one in samples)
        prepared = ptq.prepare(net, inputs, equalize=equalize)
        simulation = ptq.simulate(prepared, inputs, Layout(scheme="min_max"))
        if calibrated:
            ptq.calibrate(simulation, [samples])
            simulation.model.eval()
        return simulation

    return make


@pytest.fixture(scope="session")
def outputs_of() -> Callable[..., list[Any]]:
    """Return a function that runs a module or an ONNX file, one sample at a time, and returns its outputs as arrays."""

    def take(model: Any, *samples: torch.Tensor) -> list[Any]:
        rows = []
        session = open_session("onnx", model, threads=1) if isinstance(model, bytes) else None
        for index in range(len(samples[0])):
            sample = [one[index : index + 1] for one in samples]
            if session:
                rows.append(run(session, [one.numpy() for one in sample]))
                continue
            with torch.no_grad():
                found = model(*sample)
            rows.append([one.numpy() for one in (found if isinstance(found, tuple) else (found,))])
        return [np.concatenate(one) for one in zip(*rows, strict=True)]

    return take


@pytest.fixture(scope="session")
def to_file() -> Callable[..., bytes]:
    """Return a function that writes a simulation as ONNX; inputs are named in_<i>, outputs out_<i>."""

    def write(simulation: Any, *samples: torch.Tensor) -> bytes:
        inputs = tuple(one[:1] for one in samples)
        with torch.no_grad():
            made = simulation.model(*inputs)
        count = len(made) if isinstance(made, tuple) else 1
        names = [f"in_{i}" for i in range(len(inputs))], [f"out_{i}" for i in range(count)]
        return to_onnx(simulation.model, inputs, *names, opset=17, quantized=True)

    return write


@pytest.fixture(scope="session")
def bias_errors() -> Callable[[bytes], dict[str, float]]:
    """Return a function that tells how far the scale of each bias is, relatively, from input scale x weight scale."""

    def find(data: bytes) -> dict[str, float]:
        graph = onnx.load_from_string(data).graph
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        producers = {name: node for node in graph.node for name in node.output}

        def scale(name: str) -> Any:
            node = producers[name]
            assert node.op_type == "DequantizeLinear", f"{name} comes from {node.op_type}"
            return constants[node.input[1]]

        found = {}
        for node in graph.node:
            if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
                image, weight, bias = (scale(name) for name in node.input)
                found[node.name] = float(np.abs(bias / (image * weight) - 1).max())
        return found

    return find
