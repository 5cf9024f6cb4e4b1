"""Edge Pipeline: the devices of a team's inventory behind the protocol of Qualcomm AI Hub."""
