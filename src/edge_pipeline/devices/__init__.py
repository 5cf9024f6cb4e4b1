"""Edge Pipeline: devices."""
