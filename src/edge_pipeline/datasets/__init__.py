"""Edge Pipeline: datasets."""
