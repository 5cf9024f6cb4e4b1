"""Edge Pipeline: gate."""
