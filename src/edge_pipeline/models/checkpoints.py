"""State dicts as bytes, and a user's checkpoint into a network."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError

_REFUSED = re.compile(r"GLOBAL |Unsupported (global|class)|allowed global")
"""PyTorch's words for a pickle that wants to import or call something."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_SHOWN = 5

KeyRules = Sequence[tuple[str, str]]
"""(pattern, replacement) of `re.sub`, one after the other on every key of a published checkpoint."""


def state_to_bytes(state: dict[str, Any]) -> bytes:
    """Serialise tensors and plain values so that `weights_only` loading takes them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def state_from_bytes(data: bytes, origin: str) -> dict[str, Any]:
    """Read tensors and plain values; code in the file is refused, never run.

    Raises:
        ModelError: truncated, not a checkpoint, or a pickle that wants to import or call something.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        if _REFUSED.search(str(error)):
            raise ModelError(
                f"the checkpoint {origin} holds more than tensors (pickled Python objects) and was refused: loading "
                "it could run code. Save `model.state_dict()` only and try again."
            ) from error
        raise ModelError(f"the checkpoint {origin} is truncated or not a PyTorch checkpoint ({reason})") from error
    return _named(state, origin)


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a user's checkpoint into `net`.

    Taken are a state dict, one inside of a dictionary (`state_dict`, `model_state_dict`, `model`, `net`), one whose
    keys start with `module.`, and one with the published keys of a network that has `published_keys` (`KeyRules`).
    A network that has a method `adapted` changes the state dict first, for example for another number of classes.

    Raises:
        ModelError: missing, damaged, unsafe, or made for another network.
    """
    if not path.is_file():
        raise ModelError(f"the checkpoint {path} does not exist; correct `finetune.checkpoint`")
    state = _unwrapped(state_from_bytes(path.read_bytes(), str(path)), str(path))
    state = renamed(state, getattr(net, "published_keys", ()))
    adapted = getattr(net, "adapted", None)
    fill(net, adapted(state) if adapted else state, str(path))


def fill(net: nn.Module, state: Mapping[str, Any], origin: str) -> None:
    """Load a state dict that has exactly the keys and shapes of `net`.

    Raises:
        ModelError: it was made for another network; says which keys differ.
    """
    differences = _differences(net.state_dict(), state)
    if differences:
        raise ModelError(
            f"the checkpoint {origin} belongs to another network: {'; '.join(differences)}. Choose the network and the "
            "number of classes that it was made with, or another checkpoint."
        )
    net.load_state_dict(dict(state))


def renamed(state: Mapping[str, Any], rules: KeyRules) -> dict[str, Any]:
    """Return `state` with `rules` applied to its keys."""
    made = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        made[key] = value
    return made


def _named(state: Any, origin: str) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise ModelError(f"the checkpoint {origin} holds a {type(state).__name__}, not a state dict")
    if not all(isinstance(key, str) for key in state):
        raise ModelError(f"the checkpoint {origin} is no state dict: not all of its keys are names")
    return state


def _unwrapped(state: dict[str, Any], origin: str) -> dict[str, Any]:
    for key in _WRAPPERS:
        if isinstance(state.get(key), dict):
            state = _named(state[key], origin)
            break
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say which keys are missing, unexpected and of another shape; counters of batch norms may be missing."""
    missing = [key for key in expected if key not in found and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in found if key not in expected]
    misshaped = [key for key in expected if key in found and _shape(found[key]) != _shape(expected[key])]
    said = (
        ("missing", [f"{key} {_shape(expected[key])}" for key in missing]),
        ("unexpected", [f"{key} {_shape(found[key])}" for key in unexpected]),
        ("of another shape", [f"{key} {_shape(found[key])} for {_shape(expected[key])}" for key in misshaped]),
    )
    return [f"{len(keys)} {what}: {_listed(keys)}" for what, keys in said if keys]


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key[:160] for key in keys[:_SHOWN]) + more


def _shape(value: Any) -> str:
    """Return `3x32x3x3`, `scalar`, or the type of what is no tensor."""
    if not isinstance(value, torch.Tensor):
        return f"({type(value).__name__})"
    return f"({'x'.join(map(str, value.shape)) or 'scalar'})"
