"""Edge Pipeline: core."""
