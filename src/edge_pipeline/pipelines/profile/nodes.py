"""Measure a compiled model on the device of a target."""

from edge_pipeline.core.types import Artifact, Profile, Target
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.pipelines.export.nodes import references
from edge_pipeline.pipelines.isolation import isolated


@isolated("profile")
def profile(
    exported: Artifact,
    compiled: Artifact,
    parameters: ProfileSettings,
    *,
    device: DeviceSpec,
    target: Target,
    subject: str,
) -> Profile:
    """Measure on real validation images, those that were recorded at export.

    Raises:
        DeviceError: the device cannot load or run the artifact, or takes too long.
    """
    images = references(exported)["images"][: parameters.images]
    return connect(device).profile(compiled, images, parameters, target.name)
