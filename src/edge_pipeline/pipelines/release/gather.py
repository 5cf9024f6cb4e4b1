"""Gather what a release holds from what `kedro run` left on disk."""

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.types import Artifact, Precision, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.bundle import Content, DeviceClass, Golden, TargetContent
from edge_pipeline.fleet.errors import BundleError
from edge_pipeline.pipelines.compare.differences import TOLERANCE_DB, TOLERANCE_QUANTIZED_DB
from edge_pipeline.pipelines.compare.results import TargetResults, read
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.references import references
from edge_pipeline.pipelines.validate.outputs import kept

GOLDEN_IMAGES, GOLDEN_MB = 4, 16
"""Samples of the golden test, and most 10^6 bytes that their inputs and outputs may have; always those of one."""

TOOLS = ("edge-pipeline", "torch", "aimet-torch", "aimet-onnx", "onnx", "onnxruntime", "numpy", "kedro")
"""Packages whose versions are told of the whole release."""


def gather(
    catalog: Any,
    project: Project,
    model: str,
    targets: Sequence[Target],
    *,
    name: str,
    version: int,
    created: str,
    card: str,
) -> Content:
    """Return the content of a release; it holds exactly what was validated.

    Args:
        catalog: Kedro's catalog of the project.
        project: its configuration.
        model: which.
        targets: those that are released.
        name: of the project, by which boards tell it from others.
        version: of the release.
        created: when, ISO 8601 with its time zone.
        card: the model card, Markdown.

    Raises:
        BundleError: there are no targets, or of one of them there is no usable validation.
    """
    kinds = {one: spec.kind for one, spec in project.devices.items()}
    found = {one.target: one for one in read(catalog, model, targets, kinds)}
    problems: list[str] = []
    contents: dict[str, TargetContent] = {}
    for target in targets:
        device = project.devices[target.device]
        try:
            contents[target.slug] = _content(catalog, found[target], device)
        except (BundleError, StorageError) as error:
            problems.append(f"{target.name}: {error}")
    if problems or not contents:
        raise BundleError(
            f"no bundle of '{model}' can be made; run `kedro run --pipelines {model}` and check what fails:"
            + "".join(f"\n  - {one}" for one in problems or ["there are no targets"])
        )
    return Content(name, model, version, contents, card, created, _tools())


def _content(catalog: Any, found: TargetResults, device: DeviceSpec) -> TargetContent:
    target = found.target
    validation = next((one for one in found.results if isinstance(one, Validation)), None)
    if validation is None or found.predictions is None:
        raise BundleError("; ".join(found.problems) or "its validation failed")
    if validation.details.get("unverified"):
        raise BundleError(f"its validation says nothing: {validation.details['unverified']}")
    compiled = _artifact(catalog, f"{target.model}.{target.slug}.compiled")
    exported = _artifact(catalog, f"{target.model}.{target.precision}.exported")
    if validation.artifact != compiled.hash:
        raise BundleError("the artifact on disk is not the one that was validated")
    measured = [one.metrics for one in found.results if hasattr(one, "metrics")]
    return TargetContent(
        target=target.name,
        precision=target.precision,
        fits=DeviceClass(target.runtime, (target.device,), device.chip, device.kind, device.labels),
        artifact=compiled,
        interface=found.predictions.details["interface"],
        labels=validation.classes,
        golden=_golden(exported, found.predictions, target.precision),
        lineage=validation.lineage,
        metrics={key: float(value) for one in measured for key, value in one.items()},
    )


def _golden(exported: Artifact, predictions: Artifact, precision: Precision) -> Golden:
    """Return the first images of which the outputs were kept; the indices say that both are of the same."""
    from edge_pipeline.devices.agent.tensors import pack

    inputs, outputs = references(exported).inputs, kept(predictions)
    indices, kept_of = exported.details["images"], predictions.details["outputs"]
    rows = min(len(outputs[0]), len(kept_of))
    if list(indices[:rows]) != list(kept_of[:rows]) or not rows:
        raise BundleError("its kept outputs are not those of the exported model's reference images")
    size = sum(one[:1].nbytes for one in (*inputs, *outputs))
    rows = min(rows, GOLDEN_IMAGES, max(1, GOLDEN_MB * 10**6 // size))
    packed = []
    for tensors in (inputs, outputs):
        buffer = io.BytesIO()
        pack(buffer, tuple(one[:rows] for one in tensors))
        packed.append(buffer.getvalue())
    return Golden(packed[0], packed[1], TOLERANCE_DB.get(precision, TOLERANCE_QUANTIZED_DB))


def _artifact(catalog: Any, name: str) -> Artifact:
    loaded = catalog.load(name)
    if not isinstance(loaded, Artifact):
        raise BundleError(f"{name} is not there: its stage failed")
    return loaded


def _tools() -> Mapping[str, str]:
    found = {}
    for package in TOOLS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
