"""AIMET's rules for a version of the Hexagon NPU: what is fused, which weights have ranges by channel."""

import json
from pathlib import Path
from typing import Any

NEWEST_COMPLETE = "v73"
"""The first version whose rules in AIMET name a convolution with its clamp as one operator. Older NPUs run them as one
too, as the compiler's output shows, so their rules get these fusions."""


def hardware_rules(hexagon: str, per_channel: bool, folder: Path) -> Path:
    """Write AIMET's configuration file for `hexagon` (`v68` ... `v81`) into `folder` and return its path.

    Args:
        hexagon: version of the NPU.
        per_channel: whether the weights of convolutions and linear layers have a range for each output channel.
        folder: an existing folder.
    """
    rules = _shipped(hexagon)
    complete = _shipped(NEWEST_COMPLETE)["supergroups"]
    if len(rules["supergroups"]) < len(complete):
        rules["supergroups"] = complete
    if not per_channel:
        for one in rules["op_type"].values():
            one.pop("per_channel_quantization", None)
    path = folder / f"htp_{hexagon}.json"
    path.write_text(json.dumps(rules))
    return path


def _shipped(hexagon: str) -> Any:
    import aimet_torch.common

    folder = Path(aimet_torch.common.__path__[0]) / "quantsim_config"
    return json.loads((folder / f"htp_quantsim_config_{hexagon}.json").read_text())
