"""Edge Pipeline: from a PyTorch model to measured, tracked artifacts on edge devices."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["validate"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `import edge_pipeline` stays instant."""
    if name in __all__:
        return getattr(import_module("edge_pipeline.api"), name)
    raise AttributeError(f"module 'edge_pipeline' has no attribute '{name}'")
