"""What can go wrong with bundles and fleets."""

from edge_pipeline.core.errors import EdgePipelineError


class KeyFileError(EdgePipelineError):
    """A key cannot be used or made."""


class BundleError(EdgePipelineError):
    """A bundle cannot be made, or is not to be used: damaged, altered, foreign, or older than what is there."""


class DeployError(EdgePipelineError):
    """A model cannot be deployed."""
