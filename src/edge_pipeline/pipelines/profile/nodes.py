"""Measure a compiled model on the device of a target."""

from edge_pipeline.core.types import Artifact, Profile, Target
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.pipelines.references import references


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
    inputs = tuple(one[: parameters.images] for one in references(exported).inputs)
    return connect(device).profile(compiled, inputs, parameters, target.name)
