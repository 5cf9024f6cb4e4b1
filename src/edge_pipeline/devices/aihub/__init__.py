"""Edge Pipeline: devices of Qualcomm AI Hub."""
