"""What runs on a device: load one artifact, run it, write down what was seen."""
