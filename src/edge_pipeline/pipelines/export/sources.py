"""What can be exported: a network in PyTorch, float or simulated, or an ONNX model."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.nodes import restored_simulation

Tensors = tuple[NDArray[Any], ...]


class Source(Protocol):
    """A network that can be run here and written in the formats that runtimes compile."""

    def run(self, inputs: Tensors) -> Tensors:
        """Return the outputs, each (n, ...), of inputs, each (n, ...)."""

    def onnx(self, opset: int) -> bytes:
        """Return an ONNX model.

        Raises:
            ExportError: it cannot be written.
        """

    def encodings(self, opset: int, version: str) -> dict[str, bytes]:
        """Return the files of a quantized network for QAIRT, if there are any.

        Raises:
            ExportError: they cannot be written.
        """

    def program(self) -> bytes:
        """Return a `.pt2` exported program.

        Raises:
            ExportError: it cannot be written.
        """


@dataclass(frozen=True)
class TorchSource:
    """A network in PyTorch; `sim` is the AIMET simulation if it is the network of one."""

    module: torch.nn.Module
    interface: Interface
    sim: Any = None

    def run(self, inputs: Tensors) -> Tensors:
        """Run one sample at a time, as a device does."""
        rows = []
        with torch.no_grad():
            for index in range(len(inputs[0])):
                sample = [torch.from_numpy(one[index : index + 1]) for one in inputs]
                rows.append([one.numpy() for one in recipes.as_tuple(self.module(*sample))])
        return tuple(np.concatenate(one) for one in zip(*rows, strict=True))

    def onnx(self, opset: int) -> bytes:
        """Return an ONNX model, QDQ if the network is a simulation."""
        from edge_pipeline.quantization.export import to_onnx

        return to_onnx(self.module, self._dummies(), *self._names(), opset=opset, quantized=self.sim is not None)

    def encodings(self, opset: int, version: str) -> dict[str, bytes]:
        """Return a float model and AIMET's encodings for it if the network is a simulation, or nothing."""
        from edge_pipeline.quantization.export import to_encodings

        if self.sim is None:
            return {}
        model, found = to_encodings(self.sim, self._dummies(), *self._names(), opset=opset, version=version)
        return {"qairt.onnx": model, "qairt.encodings": found}

    def program(self) -> bytes:
        """Return a `.pt2` exported program, with AIMET's encodings if the network is a simulation."""
        from edge_pipeline.quantization.export import to_program

        return to_program(self.module, self._dummies(), quantized=self.sim is not None)

    def _names(self) -> list[list[str]]:
        return [[tensor.name for tensor in side] for side in (self.interface.inputs, self.interface.outputs)]

    def _dummies(self) -> tuple[torch.Tensor, ...]:
        return tuple(torch.zeros(tensor.shape) for tensor in self.interface.inputs)


@dataclass(frozen=True)
class OnnxSource:
    """An ONNX model, float or QDQ."""

    model: bytes

    def run(self, inputs: Tensors) -> Tensors:
        """Compute every operator in float, one sample at a time: of a QDQ model this is the simulation."""
        from edge_pipeline.models.onnx_file import open_session

        session = open_session(self.model, "ORT_DISABLE_ALL")
        names = [tensor.name for tensor in session.get_inputs()]
        rows = [
            session.run(None, {name: one[index : index + 1] for name, one in zip(names, inputs, strict=True)})
            for index in range(len(inputs[0]))
        ]
        return tuple(np.concatenate(one) for one in zip(*rows, strict=True))

    def onnx(self, opset: int) -> bytes:
        """Return the model as it is, whatever `opset` says."""
        return self.model

    def encodings(self, opset: int, version: str) -> dict[str, bytes]:
        """Return nothing: the encodings are in the model."""
        return {}

    def program(self) -> bytes:
        """Refuse: the model never was in PyTorch."""
        raise ExportError("an ONNX model that stays one has no program for LiteRT")


def float_source(spec: ModelSpec, weights: Artifact) -> Source:
    """Return the network of a `weights` artifact: float, unless it is a file of the user's that was quantized."""
    if spec.stays_onnx:
        return OnnxSource(weights.files[recipes.ONNX])
    return TorchSource(recipes.restore(spec, weights), recipes.interface(spec))


def quantized_source(spec: ModelSpec, weights: Artifact, simulation: Artifact) -> Source:
    """Return what a `simulation` artifact holds: a calibrated simulation, or a QDQ model."""
    if recipes.ONNX in simulation.files:
        return OnnxSource(simulation.files[recipes.ONNX])
    sim = restored_simulation(spec, weights, simulation)
    return TorchSource(sim.model, recipes.interface(spec), sim)
