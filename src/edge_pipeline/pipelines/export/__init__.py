"""Edge Pipeline: export."""
