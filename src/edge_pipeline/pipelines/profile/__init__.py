"""Edge Pipeline: profile."""
