"""The metrics that a rule can name: their spellings, their units, and which way is better."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edge_pipeline.core.errors import suggest
from edge_pipeline.devices.summary import MEASURED

SPELLINGS = {
    "p50": "latency_p50_ms",
    "p90": "latency_p90_ms",
    "p99": "latency_p99_ms",
    "latency": "latency_p50_ms",
    "memory": "peak_memory_mb",
    "energy": "energy_mj",
    "load": "load_ms",
    "fps": "throughput_ips",
    "npu": "npu_layers_pct",
    "map": "map50_95",
    "mask_map": "mask_map50_95",
}
"""What people write, beside the names themselves, which need neither their unit nor their capitals."""

_BOXES = ("map50_95", "map50", "map75", "map_small", "map_medium", "map_large", "recall_100")
_OF_TASK = {
    "classification": ("accuracy", "top1", "top5", "ece"),
    "detection": ("accuracy", *_BOXES),
    "instance_segmentation": ("accuracy", *(f"mask_{one}" for one in _BOXES), "map50_95", "map50"),
    "semantic_segmentation": ("accuracy", "miou", "pixel_accuracy"),
    "custom": (),
}
_AGREEMENT = ("sqnr_float_db", "sqnr_sim_db", "sqnr_onnx_db", "top1_agreement")

PER_CLASS = {
    "classification": {"accuracy": "recall_", "top1": "recall_", "recall": "recall_"},
    "detection": {"map50": "ap50_", "ap50": "ap50_", "map50_95": "ap_", "ap": "ap_", "accuracy": "ap_"},
    "instance_segmentation": {
        "mask_map50": "mask_ap50_",
        "mask_ap50": "mask_ap50_",
        "mask_map50_95": "mask_ap_",
        "mask_ap": "mask_ap_",
        "accuracy": "mask_ap_",
    },
    "semantic_segmentation": {"accuracy": "iou_", "miou": "iou_", "iou": "iou_"},
    "custom": {},
}
"""What a metric is called of a single class: the beginning of that name, before the class."""

_UNITS = {
    "ms": {"ms": 1.0, "s": 1e3, "us": 1e-3},
    "s": {"s": 1.0, "ms": 1e-3},
    "mb": {"mb": 1.0, "gb": 1e3, "kb": 1e-3, "mib": 2**20 / 1e6, "gib": 2**30 / 1e6},
    "mj": {"mj": 1.0, "j": 1e3, "uj": 1e-3},
    "w": {"w": 1.0, "mw": 1e-3},
    "c": {"c": 1.0},
    "mhz": {"mhz": 1.0, "ghz": 1e3},
    "pct": {"%": 1.0, "percent": 1.0, "points": 1.0, "point": 1.0, "pt": 1.0, "pp": 1.0},
    "db": {"db": 1.0},
    "ips": {"ips": 1.0, "fps": 1.0, "/s": 1.0},
    "share": {"%": 0.01, "percent": 0.01, "points": 0.01, "point": 0.01, "pt": 0.01, "pp": 0.01},
    "": {},
}
"""What a unit that may be written is worth in the metric's own."""

_SHOWN = {
    "ms": " ms",
    "s": " s",
    "mb": " MB",
    "mj": " mJ",
    "w": " W",
    "c": " C",
    "mhz": " MHz",
    "pct": "%",
    "db": " dB",
}

_HIGHER = frozenset({"throughput_ips", "npu_layers_pct", "inferences", "fused_layers", "cpu_frequency_mhz"})
_LOWER = frozenset({"ece"})


@dataclass(frozen=True)
class Measure:
    """A metric by its name in MLflow.

    Attributes:
        name: as in MLflow.
        unit: the ending of its name, such as `ms`; `share` for a number from 0 to 1; empty where unknown.
    """

    name: str
    unit: str

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better; of a user's own metric it is taken to be so."""
        return self.name in _HIGHER or not (self.name in MEASURED or self.name in _LOWER)

    def quantity(self, number: float, unit: str) -> float:
        """Return `number` in the metric's own unit.

        Raises:
            ValueError: the metric has no such unit.
        """
        units = _UNITS[self.unit]
        if not unit:
            return number
        if unit.lower() not in units:
            known = f"{suggest(unit, units)}" if units else "write the number alone"
            raise ValueError(f"'{unit}' is no unit of {self.name}; {known}")
        return number * units[unit.lower()]

    def text(self, value: float) -> str:
        """Return a value with its unit, shares in percent."""
        if self.unit == "share":
            return f"{100 * value:.2f}%"
        return f"{value:.4g}{_SHOWN.get(self.unit, '')}"

    def difference(self, value: float) -> str:
        """Return a difference of two values with its sign, of shares in points."""
        if self.unit in ("share", "pct"):
            return f"{value * (100 if self.unit == 'share' else 1):+.2f} points"
        return f"{value:+.4g}{_SHOWN.get(self.unit, '')}"


def measure(text: str, task: str, own: Iterable[str] | None = None) -> Measure:
    """Return the metric that `text` names.

    Args:
        text: a name, or one of its spellings: `mAP50`, `p99`, `latency_p99`, `npu_layers`.
        task: of the model.
        own: names of the user's own metrics; `None` where they are not known yet, then any name may be one.

    Raises:
        ValueError: there is no such metric of this task.
    """
    name = re.sub(r"[\s.:@-]+", "_", text.strip())
    fixed = (*sorted(MEASURED), *_OF_TASK[task], *_AGREEMENT, "accuracy_low", "accuracy_high")
    spelled = {one.lower(): one for one in fixed}
    spelled |= {_bare(one): one for one in reversed(fixed)}
    spelled |= {key: one for key, one in SPELLINGS.items() if one in fixed}
    found = spelled.get(name.lower())
    if found is None and text.strip().startswith(tuple(set(PER_CLASS[task].values()))):
        found = text.strip()
    if found is None and (own is None or text.strip() in own):
        found = text.strip()
    if found is None:
        known = {**dict.fromkeys((*fixed, *(own or ()))), **dict.fromkeys(spelled)}
        close = suggest(name.lower() if name.lower() != name else name, known)
        raise ValueError(f"there is no metric '{text.strip()}' of the task {task}; {close}")
    return Measure(found, _unit(found, task))


def per_class(text: str, task: str) -> Measure:
    """Return a metric that every class has; its name is the beginning of theirs: `ap50_`.

    Raises:
        ValueError: the task has no such metric of a class.
    """
    name = re.sub(r"[\s.:@-]+", "_", text.strip()).lower()
    known = PER_CLASS[task]
    if name not in known:
        hint = suggest(name, known) if known else f"the task {task} knows no classes"
        raise ValueError(f"there is no metric '{text.strip()}' of single classes; {hint}")
    return Measure(known[name], "share")


def _unit(name: str, task: str) -> str:
    known = name in MEASURED or name in _AGREEMENT
    if not known or name == "top1_agreement":
        shares = (*_OF_TASK[task], "top1_agreement", "accuracy_low", "accuracy_high")
        classes = tuple(set(PER_CLASS[task].values()))
        return "share" if name in shares or (classes and name.startswith(classes)) else ""
    ending = name.rpartition("_")[2]
    return ending if ending in _UNITS else ""


def _bare(name: str) -> str:
    """Return a name without the unit at its end."""
    head, _, ending = name.rpartition("_")
    return head if head and ending in _UNITS else name
