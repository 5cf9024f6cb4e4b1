"""Edge Pipeline: quantize."""
