"""Edge Pipeline: pipelines."""
