"""What a release holds, and for which boards each of its artifacts is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec


@dataclass(frozen=True)
class DeviceClass:
    """The boards that an artifact is for.

    Attributes:
        runtime: that they must have.
        devices: names of the devices that it was validated on.
        chip: that they must have; `None` for an artifact that no chip was considered for.
        kind: of those devices.
        labels: of those devices.
    """

    runtime: RuntimeName
    devices: tuple[str, ...] = ()
    chip: str | None = None
    kind: str = ""
    labels: tuple[str, ...] = ()

    def fit(self, name: str, device: DeviceSpec) -> int:
        """Return how well a device fits: 0 not at all, and more the closer it is to those that were validated.

        An artifact for a chip fits that chip alone; one for an NPU needs a chip. One of a portable runtime that no
        chip was considered for fits every device with the runtime.
        """
        bound = self.chip is not None or self.runtime.npu
        if self.runtime not in device.engines or (bound and self.chip != device.chip):
            return 0
        shared = {*self.labels} & {*device.labels}
        return 1 + 8 * (name in self.devices) + 4 * bound + 2 * bool(shared) + (self.kind == device.kind)


@dataclass(frozen=True)
class Golden:
    """Real inputs, and what a validated target answered.

    Attributes:
        inputs: an .npz of the network's inputs, each (n, ...) float32, as `devices.agent.tensors.pack` writes it.
        outputs: an .npz of the outputs for them, each (n, ...), that were validated.
        tolerance_db: agreement (SQNR) with these outputs that a board must reach.
    """

    inputs: bytes
    outputs: bytes
    tolerance_db: float


@dataclass(frozen=True)
class TargetContent:
    """One artifact of a release.

    Attributes:
        target: name of the target that was validated: `digits@rb3/onnx/w8a8`.
        precision: of it.
        fits: the boards that it is for.
        artifact: what is compiled.
        interface: the declaration of inputs, outputs, pre- and postprocessing, as `core.interface.Interface` dumps it.
        labels: names of the classes, in their order.
        golden: the test that every board must pass.
        lineage: hashes of all that it was made from, and its own, by kind.
        metrics: what was measured of the target.
    """

    target: str
    precision: str
    fits: DeviceClass
    artifact: Artifact
    interface: Mapping[str, object]
    labels: tuple[str, ...]
    golden: Golden
    lineage: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """All of one release.

    Attributes:
        project: name of the project.
        model: name of the model.
        version: 1 or more; a later release has a larger one.
        targets: by slug: `rb3-onnx-w8a8`.
        card: the model card, Markdown.
        created: when, ISO 8601 with its time zone; told by the caller, so that equal contents give equal bundles.
        tools: versions of the tools of the project, besides those that each artifact names.
    """

    project: str
    model: str
    version: int
    targets: Mapping[str, TargetContent]
    card: str
    created: str
    tools: Mapping[str, str] = field(default_factory=dict)
