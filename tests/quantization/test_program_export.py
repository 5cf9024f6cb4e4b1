import io
from typing import Any

import pytest
import torch
import torchao  # noqa: F401  (defines operators that a quantized program holds)

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization.export import to_program


def run(program: bytes, images: Any) -> Any:
    module = torch.export.load(io.BytesIO(program)).module()
    with torch.no_grad():
        return torch.cat([module(torch.from_numpy(image[None])) for image in images])


def test_a_float_program_can_be_loaded_and_agrees_with_the_network(
    exported: dict[Precision, Artifact], net: Any, images: Any
) -> None:
    with torch.no_grad():
        expected = net(torch.from_numpy(images))
    assert sqnr_db(expected, run(exported[Precision.FLOAT].files["model.pt2"], images)) > 100


def test_a_quantized_program_can_be_loaded_and_agrees_with_the_simulation(
    exported: dict[Precision, Artifact], sim: Any, images: Any
) -> None:
    with torch.no_grad():
        expected = sim.model(torch.from_numpy(images))
    assert sqnr_db(expected, run(exported[Precision.W8A8].files["model.pt2"], images)) > 40


def test_the_simulation_is_the_same_after_its_export(sim: Any, spec: ModelSpec, images: Any) -> None:
    batch = torch.from_numpy(images[:4])
    before = sim.model(batch)
    to_program(sim.model, recipes.dummy_inputs(spec), quantized=True)
    assert torch.equal(sim.model(batch), before)


def test_a_network_that_cannot_be_captured_is_refused_with_the_reason(spec: ModelSpec) -> None:
    class DataDependent(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="capturing the network for LiteRT failed"):
        to_program(DataDependent(), recipes.dummy_inputs(spec), quantized=False)
