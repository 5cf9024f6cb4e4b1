"""The chips that models can be prepared for."""

import functools
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from edge_pipeline.core.errors import DeviceError, suggest
from edge_pipeline.core.types import Artifact

Hexagon = Literal["v68", "v69", "v73", "v75", "v79", "v81"]


class Chip(BaseModel):
    """A chip of chips.yml.

    Attributes:
        name: its own.
        soc_model: the number by which Qualcomm's compiler knows it.
        hexagon: version of its NPU.
        vtcm_mb: fast memory of the NPU in MB, or `None` where that is not known.
        float16: whether its NPU computes in float16.
        note: what must be said beside every result, or nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    soc_model: int
    hexagon: Hexagon
    vtcm_mb: int | None = None
    float16: bool = True
    source: str
    note: str = ""


def chip(name: str) -> Chip:
    """Return the chip `name`, one of its other names, or the nearest of its family, which `note` says then.

    Raises:
        DeviceError: no such chip is known; names the closest.
    """
    known = chips()
    found = known.get(_plain(name))
    if found is None:
        names = sorted({one.name for one in known.values()})
        raise DeviceError(f"the chip '{name}' is not known; {suggest(name, names)}")
    return found


def check_made_for(artifact: Artifact, known: Chip, target: str) -> None:
    """Refuse what was compiled for another chip: emulator and drivers may run it without a word.

    Raises:
        DeviceError: it was.
    """
    if artifact.details.get("soc_model") != known.soc_model:
        raise DeviceError(
            f"{target}: the artifact was compiled for {artifact.details.get('chip', 'no NPU')}, the device is "
            f"{known.name}; run `kedro run --tags compile` again"
        )


@functools.cache
def chips() -> dict[str, Chip]:
    """Return all chips by their names and other names, in capitals without blanks."""
    entries = yaml.safe_load((files("edge_pipeline.runtimes") / "chips.yml").read_text(encoding="utf-8"))
    found: dict[str, Chip] = {}
    for name, entry in entries.items():
        if "nearest" not in entry:
            other = entry.pop("also", [])
            one = Chip(name=name, **entry)
            found |= {_plain(key): one for key in (name, *other)}
    for name, entry in entries.items():
        if "nearest" in entry:
            nearest = found[_plain(entry["nearest"])]
            note = f"the number of {name} is not public: it is treated as {nearest.name}, the nearest of its family"
            found[_plain(name)] = nearest.model_copy(update={"name": name, "note": note})
    return found


def _plain(name: str) -> str:
    return "".join(name.upper().split())
