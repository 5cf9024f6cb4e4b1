import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models.onnx_file import tensors
from edge_pipeline.models.onnx_module import to_module
from edge_pipeline.models.program_file import load_program


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(1, 4, 3, 1, 1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = self.norm(torch.cat([self.first(image), self.second(depth)], 1)).relu()
        return self.head(joined.mean((2, 3))), joined


class Runs:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def saved(net: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, dynamic: Any = None) -> Path:
    torch.export.save(torch.export.export(net.eval(), inputs, dynamic_shapes=dynamic), path)
    return path


@pytest.fixture(scope="module")
def original() -> nn.Module:
    torch.manual_seed(0)
    return TwoHeads().eval()


@pytest.fixture(scope="module")
def program(original: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with a dynamic batch of at least 2."""
    batch = torch.export.Dim("batch", min=2)
    inputs = (torch.rand(2, 3, 16, 16), torch.rand(2, 1, 8, 8))
    return saved(original, inputs, tmp_path_factory.mktemp("programs") / "two.pt2", ({0: batch}, {0: batch}))


@pytest.fixture
def changed(program: Path, tmp_path: Path) -> Callable[[str, Callable[[bytes], bytes]], Path]:
    """Return a function that rewrites the parts of a program whose name contains a word."""

    def rewrite(word: str, change: Callable[[bytes], bytes]) -> Path:
        target, hits = tmp_path / "changed.pt2", 0
        with zipfile.ZipFile(program) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name in source.namelist():
                data = source.read(name)
                after = change(data) if word in name else data
                hits += after != data
                archive.writestr(name, after)
        assert hits
        return target

    return rewrite


def test_a_dynamic_batch_becomes_one_and_the_results_stay(program: Path, original: nn.Module) -> None:
    model = load_program(program)
    inputs, outputs = tensors(model)
    assert [(t.name, t.shape) for t in inputs] == [("image", (1, 3, 16, 16)), ("depth", (1, 1, 8, 8))]
    assert [(t.name, t.shape) for t in outputs] == [("output_0", (1, 5)), ("output_1", (1, 8, 8, 8))]
    image, depth = torch.rand(1, 3, 16, 16), torch.rand(1, 1, 8, 8)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image.numpy(), "depth": depth.numpy()})
    with torch.no_grad():
        for expected, result in zip(original(image, depth), found, strict=True):
            assert sqnr_db(expected.numpy(), result) > 80


def test_it_becomes_a_network_that_takes_batches(program: Path, original: nn.Module) -> None:
    image, depth = torch.rand(3, 3, 16, 16), torch.rand(3, 1, 8, 8)
    module = to_module(load_program(program))
    with torch.no_grad():
        for expected, found in zip(original(image, depth), module(image, depth), strict=True):
            assert sqnr_db(expected, found) > 80
    assert any(isinstance(layer, nn.Conv2d) for layer in module.modules())


def test_another_dynamic_dimension_must_be_given(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    width = torch.export.Dim("width", min=8, max=64)
    path = saved(net, (torch.rand(1, 3, 16, 16),), tmp_path / "w.pt2", ({3: width},))
    with pytest.raises(ModelError, match=r"'input' .* dimension 3 is not known.*`inputs`"):
        load_program(path)
    assert tensors(load_program(path, {"input": (1, 3, 16, 24)}))[0][0].shape == (1, 3, 16, 24)
    assert tensors(load_program(path, single=(1, 3, 16, 32)))[0][0].shape == (1, 3, 16, 32)
    with pytest.raises(ModelError, match=r"the configuration says \(1, 1, 16, 16\)"):
        load_program(path, {"input": (1, 1, 16, 16)})
    with pytest.raises(ModelError, match="no input 'inptu': did you mean 'input'"):
        load_program(path, {"inptu": (1, 3, 16, 16)})


def test_a_fixed_batch_of_several_is_refused(tmp_path: Path) -> None:
    path = saved(nn.Conv2d(3, 4, 3), (torch.rand(4, 3, 8, 8),), tmp_path / "four.pt2")
    with pytest.raises(ModelError, match="fixed batch of 4; export it with a batch of 1"):
        load_program(path)


def test_an_input_that_is_not_float32_is_named(tmp_path: Path) -> None:
    path = saved(nn.Embedding(5, 3), (torch.zeros(1, 2, dtype=torch.long),), tmp_path / "ids.pt2")
    with pytest.raises(ModelError, match=r"the input 'input' .* is torch\.int64; inputs must be float32"):
        load_program(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pt2 does not exist"):
        load_program(tmp_path / "nowhere.pt2")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(program: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.pt2"
    data = program.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        ModelError, match=r"cut\.pt2 (is truncated or not an exported program|cannot be loaded .* damaged)"
    ):
        load_program(path)


def test_a_flipped_bit_in_the_weights_is_noticed(program: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "flipped.pt2", bytearray(program.read_bytes())
    with zipfile.ZipFile(program) as archive:
        part = archive.getinfo(next(name for name in archive.namelist() if name.endswith("weight_0")))
    data[part.header_offset + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="truncated or not an exported program"):
        load_program(path)


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ModelError, match=r"other\.pt2 cannot be loaded by PyTorch"):
        load_program(path)


def test_pickled_objects_are_not_unpickled(
    changed: Callable[[str, Callable[[bytes], bytes]], Path], tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    torch.save((Runs(tmp_path / "mark"),), buffer)
    path = changed("sample_inputs", lambda _: buffer.getvalue())
    with pytest.raises(ModelError, match=r"refused, because loading it could run code.* pickled objects"):
        load_program(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "expression", ["__import__('os').system('true')", "(lambda: 1)()", "exit()", "Symbol('s0').__class__", "[1, 2]"]
)
def test_expressions_other_than_arithmetic_are_not_evaluated(
    changed: Callable[[str, Callable[[bytes], bytes]], Path], expression: str
) -> None:
    def insert(data: bytes) -> bytes:
        def walk(value: Any) -> None:
            for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                walk(item)
            if isinstance(value, dict) and "expr_str" in value:
                value["expr_str"] = expression

        document = json.loads(data)
        walk(document)
        return json.dumps(document).encode()

    with pytest.raises(ModelError, match=r"refused, because loading it could run code.* the expression"):
        load_program(changed("models/model.json", insert))


def test_functions_other_than_operators_are_not_called(
    changed: Callable[[str, Callable[[bytes], bytes]], Path],
) -> None:
    path = changed("models/model.json", lambda data: data.replace(b"torch.ops.aten.relu.default", b"torch.os.system"))
    with pytest.raises(ModelError, match=r"refused, because loading it could run code.* 'torch\.os\.system'"):
        load_program(path)


def test_compiled_code_is_not_loaded(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "compiled.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("two/data/aotinductor/model/code.so", b"\x7fELF")
    with pytest.raises(ModelError, match=r"refused, because loading it could run code.* aotinductor"):
        load_program(path)


def test_loading_leaves_the_environment_as_it_was(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    load_program(program)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_constant_in_the_network_is_kept(tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("shift", torch.arange(4.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.shift

    model = load_program(saved(Shifted(), (torch.rand(1, 4),), tmp_path / "c.pt2"))
    result = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": np.zeros((1, 4), "f")})[0]
    assert result.tolist() == [[0.0, 1.0, 2.0, 3.0]]
