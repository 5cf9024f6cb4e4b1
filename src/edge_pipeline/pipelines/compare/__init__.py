"""Edge Pipeline: compare."""
