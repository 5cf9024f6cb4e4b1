"""Edge Pipeline: tasks."""
