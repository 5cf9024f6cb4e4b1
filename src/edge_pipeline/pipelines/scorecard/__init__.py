"""Edge Pipeline: scorecard."""
