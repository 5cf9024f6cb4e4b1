"""LiteRT gives what the simulation gives, output by output, and computes on integers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge_pipeline.core.child import run_child
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization.export import to_program
from edge_pipeline.runtimes.session import open_session, run

pytestmark = pytest.mark.slow
Make = Callable[..., Any]


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that converts a module, or a simulation's model, to a TFLite file."""

    def make(module: torch.nn.Module, *samples: torch.Tensor, quantized: bool = True) -> Path:
        program, result = tmp_path / "model.pt2", tmp_path / "model.tflite"
        program.write_bytes(to_program(module, tuple(one[:1] for one in samples), quantized=quantized))
        mode = "quantized" if quantized else "float"
        run_child("edge_pipeline.runtimes.litert_convert", [str(program), str(result), mode], time_limit_s=300)
        return result

    return make


def without_delegate(path: Path) -> Any:
    """Return an interpreter with LiteRT's own kernels, which demand more of scales than the delegate's."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter


def agreements(path: Path, expected: list[Any], *samples: torch.Tensor) -> list[float]:
    session = open_session("tflite", path, threads=1)
    rows = [run(session, [one[i : i + 1].numpy() for one in samples]) for i in range(len(samples[0]))]
    assert all(len(row) == len(expected) for row in rows)
    return [
        min(sqnr_db(expected[place][i : i + 1], row[place]) for i, row in enumerate(rows))
        for place in range(len(expected))
    ]


def test_a_network_with_split_concatenation_and_upsampling_runs_on_integers_only(
    network: Make, simulate: Make, outputs_of: Make, convert: Make, pictures: Any
) -> None:
    simulation = simulate(network("branches"), pictures)
    path = convert(simulation.model, pictures)
    (agreement,) = agreements(path, outputs_of(simulation.model, pictures[:4]), pictures[:4])
    assert agreement > 25
    tensors = without_delegate(path).get_tensor_details()
    assert {tensor["dtype"].__name__ for tensor in tensors} <= {"int8", "int32", "int64", "bool"}


def test_inputs_and_outputs_of_equal_shapes_keep_their_places(
    network: Make, simulate: Make, outputs_of: Make, convert: Make, pictures: Any, others: Any
) -> None:
    simulation = simulate(network("several"), pictures, others)
    expected = outputs_of(simulation.model, pictures[:2], others[:2])
    found = agreements(convert(simulation.model, pictures, others), expected, pictures[:2], others[:2])
    assert len(found) == 12
    assert min(found) > 30


def test_inputs_and_outputs_of_a_float_model_keep_their_places_and_its_layers_can_be_timed(
    network: Make, outputs_of: Make, convert: Make, pictures: Any
) -> None:
    class Unequal(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network("several")

        def forward(self, small: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(one + small.mean() for one in self.inner(x, x * x))[::-1]

    net = Unequal().eval()
    small = torch.rand(2, 1, 3, 3)
    path = convert(net, small, pictures, quantized=False)
    assert min(agreements(path, outputs_of(net, small, pictures[:2]), small, pictures[:2])) > 80
    layers = open_session("tflite", path, threads=1).layers([small[:1].numpy(), pictures[:1].numpy()], 2)
    assert len(layers) >= 14
