"""What a prediction, a label and a metric are: one task, one module."""
