"""Edge Pipeline: quantization."""
