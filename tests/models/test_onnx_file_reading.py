from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models.onnx_file import is_quantized, load_onnx, tensors


class TwoHeads(nn.Module):
    """Two inputs of different sizes, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(1, 4, 3, 1, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = torch.cat([self.first(image), self.second(depth)], 1).relu()
        return self.head(joined.mean((2, 3))), joined


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ).eval()


def export(net: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, **options: Any) -> Path:
    torch.onnx.export(net.eval(), inputs, str(path), dynamo=False, **{"opset_version": 17, **options})
    return path


def dynamic(path: Path, axes: dict[int, str]) -> Path:
    return export(
        classifier(),
        (torch.rand(2, 3, 16, 16),),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": axes},
    )


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any] | None = None) -> Any:
    return helper.make_graph(nodes, "made", inputs, outputs, weights or [])


def values(name: str, kind: int, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def written(path: Path, made: Any, *, opset: int = 17, domains: tuple[str, ...] = ()) -> Path:
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.write_bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())
    return path


@pytest.fixture
def relu(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a model of one operator."""

    def write(kind: int = TensorProto.FLOAT, shape: tuple[Any, ...] = (1, 3), op: str = "Relu", **options: Any) -> Path:
        node = helper.make_node(op, ["x"], ["y"], name="the_node", domain=options.pop("domain", ""))
        made = graph([node], [values("x", kind, list(shape))], [values("y", kind, list(shape))])
        return written(tmp_path / "one.onnx", made, **options)

    return write


def test_a_dynamic_batch_becomes_one_and_the_results_stay(tmp_path: Path) -> None:
    path = dynamic(tmp_path / "net.onnx", {0: "batch"})
    model = load_onnx(path)
    inputs, outputs = tensors(model)
    assert inputs == (TensorSpec("image", (1, 3, 16, 16), "float32"),)
    assert outputs == (TensorSpec("logits", (1, 4), "float32"),)
    image = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    before, after = (
        ort.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
        for one in (path.read_bytes(), model)
    )
    assert np.abs(before - after).max() < 1e-5


def test_several_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    inputs = (torch.rand(1, 3, 16, 16), torch.rand(1, 1, 8, 8))
    names = {"input_names": ["image", "depth"], "output_names": ["scores", "map"]}
    found = tensors(load_onnx(export(TwoHeads(), inputs, tmp_path / "two.onnx", **names)))
    assert [(t.name, t.shape) for t in found[0]] == [("image", (1, 3, 16, 16)), ("depth", (1, 1, 8, 8))]
    assert [(t.name, t.shape) for t in found[1]] == [("scores", (1, 5)), ("map", (1, 8, 8, 8))]


def test_every_shape_inside_is_known(tmp_path: Path) -> None:
    path = dynamic(tmp_path / "net.onnx", {0: "batch", 2: "height"})
    model = onnx.load_from_string(load_onnx(path, {"image": (1, 3, 16, 16)}))
    assert all(dim.dim_value > 0 for info in model.graph.value_info for dim in info.type.tensor_type.shape.dim)
    assert model.graph.value_info


def test_another_dynamic_dimension_is_named_and_can_be_given(tmp_path: Path) -> None:
    path = dynamic(tmp_path / "net.onnx", {0: "batch", 3: "width"})
    with pytest.raises(ModelError, match=r"'image' .* dimension 3 'width' is not known.*`inputs`"):
        load_onnx(path)
    assert tensors(load_onnx(path, {"image": (1, 3, 16, 24)}))[0][0].shape == (1, 3, 16, 24)
    assert tensors(load_onnx(path, single=(1, 3, 16, 32)))[0][0].shape == (1, 3, 16, 32)


def test_a_configured_shape_must_agree_with_the_file(tmp_path: Path) -> None:
    path = dynamic(tmp_path / "net.onnx", {0: "batch"})
    with pytest.raises(
        ModelError, match=r"has the shape \(batch, 3, 16, 16\), the configuration says \(1, 1, 16, 16\)"
    ):
        load_onnx(path, {"image": (1, 1, 16, 16)})
    with pytest.raises(ModelError, match="no input 'imgae': did you mean 'image'"):
        load_onnx(path, {"imgae": (1, 3, 16, 16)})


def test_a_fixed_batch_of_several_is_refused(relu: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"'x' .* fixed batch of 4; export it with a batch of 1"):
        load_onnx(relu(shape=(4, 3)))


@pytest.mark.parametrize(
    ("kind", "said"), [(TensorProto.FLOAT16, "float16"), (TensorProto.INT64, "int64"), (TensorProto.UINT8, "uint8")]
)
def test_inputs_of_another_element_type_are_named(relu: Callable[..., Path], kind: int, said: str) -> None:
    with pytest.raises(ModelError, match=f"'x' .* is {said}; inputs must be float32"):
        load_onnx(relu(kind, op="Identity"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx does not exist"):
        load_onnx(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = dynamic(tmp_path / "net.onnx", {0: "batch"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"net\.onnx is truncated or not an ONNX file"):
        load_onnx(path)


@pytest.mark.parametrize("data", [b"", b"this is a text", bytes(100), b"PK\x03\x04" + bytes(40)])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not an ONNX file"):
        load_onnx(path)


def test_an_operator_of_another_domain_is_named_with_its_node(relu: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"my\.ops::Magic at Magic 'the_node'"):
        load_onnx(relu(op="Magic", domain="my.ops", domains=("my.ops",)))


def test_an_operator_that_the_opset_does_not_have_is_named(relu: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"Gelu \(opset 17\) at Gelu 'the_node'"):
        load_onnx(relu(op="Gelu"))


def test_an_opset_from_the_future_is_refused(relu: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run .*opset"):
        load_onnx(relu(opset=99))


def test_an_operator_that_onnx_runtime_brings_along_is_taken(relu: Callable[..., Path]) -> None:
    model = load_onnx(relu(op="Gelu", domain="com.microsoft", domains=("com.microsoft",)))
    assert tensors(model)[1] == (TensorSpec("y", (1, 3), "float32"),)


def test_an_invalid_graph_is_refused(tmp_path: Path) -> None:
    made = graph(
        [helper.make_node("Relu", ["nothing"], ["y"])],
        [values("x", TensorProto.FLOAT, [1, 3])],
        [values("y", TensorProto.FLOAT, [1, 3])],
    )
    with pytest.raises(ModelError, match=r"not a valid ONNX model: .*nothing"):
        load_onnx(written(tmp_path / "bad.onnx", made))


def test_inputs_that_only_give_weights_a_default_are_no_inputs(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    made = graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [values("x", TensorProto.FLOAT, ["N", 3]), values("w", TensorProto.FLOAT, [3])],
        [values("y", TensorProto.FLOAT, ["N", 3])],
        [weight],
    )
    assert [t.name for t in tensors(load_onnx(written(tmp_path / "w.onnx", made)))[0]] == ["x"]


def _with_external_weights(folder: Path) -> Path:
    model = onnx.load(str(dynamic(folder / "net.onnx", {0: "batch"})))
    path = folder / "big.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="big.weights", size_threshold=0)
    return path


def test_weights_beside_the_file_are_embedded(tmp_path: Path) -> None:
    path = _with_external_weights(tmp_path)
    assert (tmp_path / "big.weights").is_file()
    model = load_onnx(path)
    (tmp_path / "big.weights").unlink()
    image = np.ones((1, 3, 16, 16), np.float32)
    result = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
    expected = classifier()(torch.from_numpy(image)).detach().numpy()
    assert np.abs(result - expected).max() < 1e-5


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = _with_external_weights(tmp_path)
    (tmp_path / "big.weights").unlink()
    with pytest.raises(ModelError, match=r"keeps weights in big\.weights, which is missing from"):
        load_onnx(path)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = _with_external_weights(tmp_path)
    with (tmp_path / "big.weights").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(ModelError, match=r"weights of .* in big\.weights cannot be read"):
        load_onnx(path)


def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(10000))
    (tmp_path / "inner").mkdir()
    path = _with_external_weights(tmp_path / "inner")
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../secret" if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside"):
        load_onnx(path)


def test_a_quantized_file_is_recognised_and_left_as_it_is(tmp_path: Path) -> None:
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    zero = helper.make_tensor("zero", TensorProto.UINT8, [], [3])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    inputs, outputs = [values("x", TensorProto.FLOAT, ["N", 3])], [values("y", TensorProto.FLOAT, ["N", 3])]
    model = load_onnx(written(tmp_path / "q.onnx", graph(nodes, inputs, outputs, [scale, zero])))
    assert is_quantized(model)
    kinds = [node.op_type for node in onnx.load_from_string(model).graph.node]
    assert kinds == ["QuantizeLinear", "DequantizeLinear", "Relu"]


def test_a_float_file_is_not_taken_for_a_quantized_one(tmp_path: Path) -> None:
    assert not is_quantized(load_onnx(dynamic(tmp_path / "net.onnx", {0: "batch"})))


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    made = graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")],
        [values("x", TensorProto.FLOAT, ["N", 3])],
        [values("y", TensorProto.FLOAT, ["N", 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(made, opset_imports=opsets, functions=[function], ir_version=9)
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    loaded = load_onnx(tmp_path / "f.onnx")
    assert [node.op_type for node in onnx.load_from_string(loaded).graph.node] == ["Add"]
