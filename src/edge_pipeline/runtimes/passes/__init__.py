"""Edge Pipeline: graph passes, which prepare an ONNX model for the engine that runs it."""
