"""Edge Pipeline: retrain."""
