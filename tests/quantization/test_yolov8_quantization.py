"""YOLOv8 on integers: each map of the runtimes is that of the simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge_pipeline.core.child import run_child
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models import yolov8
from edge_pipeline.models.spec import YoloDetSpec, YoloSegSpec
from edge_pipeline.quantization.export import to_program
from edge_pipeline.runtimes.session import open_session, run

pytestmark = pytest.mark.slow
Make = Callable[..., Any]


@pytest.fixture
def trained(one_thread: None) -> Make:
    """Return a function that makes a small network whose batch norms have seen the images."""

    def make(kind: str, outputs: str, images: torch.Tensor) -> Any:
        entry = {"recipe": f"yolov8_{kind}", "image_shape": (3, 64, 64), "dataset": {"type": "aerial_scenes"}}
        recipe = YoloSegSpec if kind == "seg" else YoloDetSpec
        torch.manual_seed(0)
        net = yolov8.build(recipe.model_validate({**entry, "classes": 3, "outputs": outputs}))
        with torch.no_grad():
            for _ in range(30):
                net.train().training_outputs(images)
        return net.eval()

    return make


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(8, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear").contiguous()


def lag(network: list[Any], simulation: list[Any], found: list[Any]) -> list[float]:
    """Return by how many dB each output is further from the simulation than the simulation is from the network.

    Rounding that differs by one step anywhere spreads through the layers after it until it is as large as what
    quantization itself changes, and no larger: two such errors, each independent of the other, make 3 dB.
    """
    return [
        sqnr_db(exact, wanted) - sqnr_db(wanted, one)
        for exact, wanted, one in zip(network, simulation, found, strict=True)
    ]


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_onnx_runtime_runs_every_convolution_on_integers_and_agrees(
    trained: Make, simulate: Make, to_file: Make, outputs_of: Make, bias_errors: Make, images: Any, kind: str
) -> None:
    net = trained(kind, "maps", images)
    simulation = simulate(net, images)
    data = to_file(simulation, images)
    types = [layer["type"] for layer in open_session("onnx", data, threads=1).layers([images[:1].numpy()], 1)]
    assert types.count("QLinearConv") == {"det": 63, "seg": 76}[kind]
    assert not {"Conv", "ConvTranspose", "Sigmoid", "Mul", "Add", "Concat"} & set(types)
    assert max(bias_errors(data).values()) < 1e-4
    exact, wanted, found = (outputs_of(model, images) for model in (net, simulation.model, data))
    assert min(map(sqnr_db, exact, wanted)) > 15
    assert max(lag(exact, wanted, found)) < 6


def test_litert_runs_everything_on_integers_and_agrees(
    trained: Make, simulate: Make, outputs_of: Make, images: Any, tmp_path: Path
) -> None:
    net = trained("seg", "maps", images)
    simulation = simulate(net, images)
    program, path = tmp_path / "model.pt2", tmp_path / "model.tflite"
    program.write_bytes(to_program(simulation.model, (images[:1],), quantized=True))
    run_child("edge_pipeline.runtimes.litert_convert", [str(program), str(path), "quantized"], time_limit_s=600)
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    tensors = interpreter.get_tensor_details()
    assert {tensor["dtype"].__name__ for tensor in tensors} <= {"int8", "int32", "int64", "bool"}
    exact, wanted = outputs_of(net, images[:2]), outputs_of(simulation.model, images[:2])
    session = open_session("tflite", path, threads=1)
    rows = [run(session, [images[i : i + 1].numpy()]) for i in range(2)]
    found = [torch.cat([torch.from_numpy(row[place]) for row in rows]) for place in range(len(wanted))]
    assert max(lag(exact, wanted, found)) < 6


def test_decoding_in_the_network_stays_float_and_exact(
    trained: Make, simulate: Make, to_file: Make, outputs_of: Make, images: Any
) -> None:
    net = trained("det", "boxes", images)
    simulation = simulate(net, images)
    boxes, scores, classes = outputs_of(simulation.model, images)
    exact = outputs_of(net, images)
    assert sqnr_db(exact[0], boxes) > 30
    assert len(set(boxes.ravel().tolist())) > 1000
    found = outputs_of(to_file(simulation, images), images)
    assert sqnr_db(boxes, found[0]) > 30
    assert (classes == found[2]).mean() > 0.8
    assert scores.shape == (8, 84)
