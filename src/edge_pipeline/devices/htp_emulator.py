"""Qualcomm's emulator of the NPU: the numbers of a chip, bit for bit where it is right, and no times at all."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Layer, Profile
from edge_pipeline.devices.agent.tensors import Tensors, unpack
from edge_pipeline.devices.local import act
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import compiled_layers, placement
from edge_pipeline.runtimes.chips import Chip, check_made_for


class HtpEmulator:
    """The emulator in the package `onnxruntime-qnn`, standing in for the NPU of one chip.

    It reports no latency, memory or power: those of an emulator say nothing about the chip.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def describe(self) -> dict[str, str]:
        """Chip, version of its NPU, and what must be said beside every result."""
        found = {"kind": "htp_emulator", "chip": self._chip.name, "hexagon": self._chip.hexagon}
        return {**found, "note": self._chip.note} if self._chip.note else found

    def profile(self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str) -> Profile:
        """Report compilation, size, and which layers the NPU takes and fuses; run one sample to see that it loads.

        Raises:
            DeviceError: the artifact was made for another chip, or cannot be loaded or run.
        """
        self._check(artifact, target)
        sample = tuple(one[:1] for one in inputs)
        report = act("layers", artifact, sample, 1, settings.time_limit_s, target, **self._emulated(), runs=1)
        layers = tuple(compiled_layers(artifact, [Layer(**one) for one in json.loads(report)]))
        metrics, warnings = placement(layers)
        return Profile(
            target,
            artifact.hash,
            artifact.lineage,
            {**metrics, "compile_s": artifact.details["compile_s"], "size_mb": artifact.size_bytes / 1e6},
            (),
            layers,
            1,
            self.describe(),
            f"onnxruntime-qnn {artifact.tools['onnxruntime-qnn']}, QAIRT {artifact.details['qairt']}",
            (*warnings, *([self._chip.note] if self._chip.note else [])),
        )

    def infer(
        self, artifact: Artifact, batches: Iterable[Tensors], *, threads: int, time_limit_s: float, target: str
    ) -> Iterator[Tensors]:
        """Yield the outputs, each (n, ...), of each batch of inputs, each (n, ...), as the NPU computes them.

        Raises:
            DeviceError: the artifact was made for another chip, cannot be loaded or run, or takes too long.
        """
        self._check(artifact, target)
        for inputs in batches:
            data = act("infer", artifact, inputs, threads, time_limit_s, target, **self._emulated())
            yield unpack(io.BytesIO(data))

    def _emulated(self) -> dict[str, Any]:
        return {"soc_model": self._chip.soc_model}

    def _check(self, artifact: Artifact, target: str) -> None:
        """The emulator runs binaries of other chips without a word, and loads those of other versions or not."""
        from importlib.metadata import version

        check_made_for(artifact, self._chip, target)
        with_, now = artifact.tools.get("onnxruntime-qnn"), version("onnxruntime-qnn")
        if with_ != now:
            raise DeviceError(
                f"{target}: the artifact was compiled with onnxruntime-qnn {with_}, {now} is installed; run "
                "`kedro run --tags compile` again"
            )
