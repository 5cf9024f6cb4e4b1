"""Edge Pipeline: from a PyTorch model to measured, tracked artifacts on edge devices."""

__version__ = "0.1.0"
