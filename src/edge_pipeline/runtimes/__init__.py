"""Edge Pipeline: runtimes."""
