"""Edge Pipeline: models."""
