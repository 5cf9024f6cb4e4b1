"""Look at a board that is not in devices.yml yet, and write its entry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import write_atomically
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec, state
from edge_pipeline.runtimes.chips import chips

PYTHONS = ("python3", "{home}/venv/bin/python", "{home}/.venv/bin/python", "{home}/edge/venv/bin/python")
"""Where a board's Python with NumPy and runtimes is looked for."""

ENGINES = {"onnxruntime": RuntimeName.ONNX, "ai-edge-litert": RuntimeName.TFLITE}


def probe(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what a board tells of itself, and its Python: the first that has a runtime, or else the first that runs.

    Args:
        wanted: an entry of devices.yml; where it names no `python`, the usual places are tried.

    Raises:
        DeviceError: the entry is wrong, the board does not answer, or has no Python.
    """
    best: tuple[dict[str, Any], str] | None = None
    problem, home = "", ""
    for place in (wanted["python"],) if "python" in wanted else PYTHONS:
        if "{home}" in place and not home:
            continue
        python = place.format(home=home)
        found = state(_typed({**wanted, "python": python}))
        if "problem" in found:
            problem = problem or found["problem"]
            if not home:
                break
            continue
        home = home or found.get("home", "")
        if any(package in found["packages"] for package in ENGINES) and "numpy" in found["packages"]:
            return found, python
        best = best or (found, python)
    if best is None:
        raise DeviceError(problem)
    return best


def entry_of(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the entry of a board, and what the user should know.

    Args:
        wanted: what the user gave.
        found: what the board tells; nothing of it is written but what is known here too.
    """
    entry, remarks = dict(wanted), []
    runtimes = [name.value for package, name in ENGINES.items() if package in found["packages"]]
    if runtimes and "numpy" in found["packages"]:
        entry["runtimes"] = runtimes
    else:
        remarks.append(
            f"its {wanted['python']} has no runtime: install there `pip install numpy onnxruntime ai-edge-litert`, or "
            "name another Python with --python"
        )
    if "chip" not in entry:
        chip = named_chip(found.get("hardware", []))
        if chip:
            entry["chip"] = chip
        else:
            remarks.append("its chip is not known here: quantization follows the rules of v73 (--chip names another)")
    return _plain(_typed(entry)), remarks


def append(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Add an entry to a devices.yml, whose comments and order stay; the file is whole at any time.

    Raises:
        DeviceError: the file is no YAML mapping.
        StorageError: it cannot be written.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    added = yaml.safe_dump({name: dict(entry)}, sort_keys=False, allow_unicode=True)
    whole = text + ("" if not text or text.endswith("\n") else "\n") + added
    try:
        parsed = yaml.safe_load(whole)
    except yaml.YAMLError as error:
        raise DeviceError(f"{path} cannot be extended: {str(error)[:200]}; add by hand:\n{added}") from error
    if not isinstance(parsed, dict) or parsed.get(name) != dict(entry):
        raise DeviceError(f"{path} cannot be extended, it is no plain list of devices; add by hand:\n{added}")
    write_atomically(path, whole.encode())


def _typed(entry: Mapping[str, Any]) -> DeviceSpec:
    try:
        return DeviceSpec.model_validate(dict(entry))
    except ValidationError as error:
        told = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise DeviceError(told) from error


def _plain(spec: DeviceSpec) -> dict[str, Any]:
    """Return the fields that were given, as YAML has them."""
    return spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def named_chip(hardware: list[str]) -> str | None:
    """Return the known chip among the names by which a board's system knows it, `None` where it names none."""
    for text in hardware:
        for word in text.replace(",", " ").replace("-", " ").split():
            if word.upper() in chips():
                return chips()[word.upper()].name
    return None
