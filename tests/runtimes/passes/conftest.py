"""Tiny ONNX models from text, and passes run over them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_pipeline.core.types import Precision, RuntimeName
from edge_pipeline.runtimes.passes.base import Change, Goal, optimize


@dataclass(frozen=True)
class Done:
    """What passes made of a model."""

    before: onnx.ModelProto
    after: onnx.ModelProto
    reports: list[Change]

    @property
    def kinds(self) -> list[str]:
        return [node.op_type for node in self.after.graph.node]

    @property
    def constants(self) -> dict[str, Any]:
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in self.after.graph.initializer}

    @property
    def report(self) -> Change:
        assert len(self.reports) == 1
        return self.reports[0]

    def made(self, kind: str) -> Any:
        (node,) = [node for node in self.after.graph.node if node.op_type == kind]
        return node

    def attribute(self, kind: str, name: str) -> Any:
        (found,) = [one for one in self.made(kind).attribute if one.name == name]
        return onnx.helper.get_attribute_value(found)


@pytest.fixture(scope="session")
def model() -> Callable[..., onnx.ModelProto]:
    """Return a function that parses the text of a graph and adds constants to it, by name."""

    def make(
        text: str, constants: Mapping[str, Any] | None = None, opset: int = 17, unchecked: bool = False
    ) -> onnx.ModelProto:
        header = f'<ir_version: {8 if opset < 21 else 10}, opset_import: ["" : {opset}]> g '
        made = onnx.parser.parse_model(header + text)
        for index, node in enumerate(made.graph.node):
            node.name = f"{node.op_type}_{index}"
        for name, values in (constants or {}).items():
            made.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        if not unchecked:
            onnx.checker.check_model(made, full_check=True)
        return made

    return make


@pytest.fixture(scope="session")
def goal() -> Callable[..., Goal]:
    """Return a function that makes a goal: an NPU unless told otherwise."""

    def make(hexagon: str | None = "v68", precision: Precision = Precision.FLOAT) -> Goal:
        return Goal(RuntimeName.ONNX, hexagon, precision)

    return make


@pytest.fixture(scope="session")
def run_passes(goal: Callable[..., Goal]) -> Callable[..., Done]:
    """Return a function that runs passes over a model on three random samples for each input."""

    def run(made: onnx.ModelProto, *names: str, hexagon: str | None = "v68", **options: Any) -> Done:
        random = np.random.default_rng(0)
        inputs = [random.normal(size=(3, *shape(one)[1:])).astype(np.float32) for one in made.graph.input]
        data, reports = optimize(made.SerializeToString(), inputs, goal(hexagon, **options), names or None)
        return Done(made, onnx.load_from_string(data), reports)

    return run


@pytest.fixture(scope="session")
def numbers() -> Callable[..., Any]:
    """Return a function that makes random float32 numbers of a shape."""
    random = np.random.default_rng(1)

    def make(*size: int) -> Any:
        return random.normal(size=size).astype(np.float32)

    return make


def shape(value: Any) -> Sequence[int]:
    return [one.dim_value for one in value.type.tensor_type.shape.dim]
