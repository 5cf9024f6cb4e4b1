"""Edge Pipeline: release."""
