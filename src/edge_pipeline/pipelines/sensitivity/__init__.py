"""Edge Pipeline: sensitivity."""
