"""Edge Pipeline: compile."""
