"""Edge Pipeline: validate."""
