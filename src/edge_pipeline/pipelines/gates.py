"""Rules that a target must meet."""

from edge_pipeline.core.types import Profile, RuntimeName
from edge_pipeline.models.spec import Require


def unmet(profile: Profile, runtime: RuntimeName, require: Require) -> str:
    """Return which requirement a target of an NPU runtime does not meet, and why; nothing where it meets all."""
    if require.npu_layers is None or not runtime.npu:
        return ""
    required, share = f"{require.npu_layers:g}% of the layers must be on the NPU", profile.metrics.get("npu_layers_pct")
    if share is None:
        return f"{required}, but nobody knows where they run"
    if share >= require.npu_layers:
        return ""
    names = [f"{layer.name} ({layer.type})" for layer in profile.layers if layer.compute_unit != "npu"]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{required}, {share:.1f}% are; not {', '.join(names[:5])}{more}"
