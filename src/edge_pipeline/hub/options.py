"""The options of jobs, which the protocol has as one line of text."""

import shlex
from collections.abc import Collection

from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import suggest
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.hub.errors import JobError

COMPILE = ("--target_runtime", "--output_names")
DLC = "qnn_dlc"
NO_LINKER = (
    "this hub makes no DLC and links none: Qualcomm's converter, which makes them, is in none of the packages that it "
    "runs. Compile each network for itself with --target_runtime qnn_context_binary"
)

RUN = ("--max_profiler_iterations",)

_INVALID = pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT


def parse(text: str, known: Collection[str]) -> dict[str, str]:
    """Return the values of `--name value` and `--name=value` by `--name`.

    Raises:
        JobError: an option is not among `known`, comes twice or has no value.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise JobError(_INVALID, f"the options '{text[:200]}' cannot be read: {error}") from error
    found: dict[str, str] = {}
    while words:
        name, given, value = words.pop(0).partition("=")
        if name not in known:
            hint = suggest(name, known) if known else "this kind of job takes none here"
            raise JobError(_INVALID, f"the option '{name[:100]}' is not supported by this hub; {hint}")
        if not given:
            value = words.pop(0) if words and not words[0].startswith("--") else ""
        if not value or name in found:
            raise JobError(_INVALID, f"the option '{name}' needs one value" if not value else f"'{name}' comes twice")
        found[name] = value
    return found


def target_runtime(options: dict[str, str], engines: tuple[RuntimeName, ...]) -> RuntimeName:
    """Return the runtime to compile for: the one that is named, or else the device's first.

    Raises:
        JobError: there is none of this name here.
    """
    name = options.get("--target_runtime", engines[0].value)
    if name == DLC:
        raise JobError(pb.JOB_FAILURE_TYPE_UNSUPPORTED, NO_LINKER)
    if name not in list(RuntimeName):
        raise JobError(
            _INVALID, f"--target_runtime {name[:100]} is not known to this hub; {suggest(name, RuntimeName)}"
        )
    return RuntimeName(name)


def iterations(options: dict[str, str], least: int) -> int:
    """Return how many inferences are timed.

    Raises:
        JobError: it is no number, or fewer than `least`.
    """
    value = options.get("--max_profiler_iterations", str(least))
    if not value.isdecimal() or not least <= int(value) <= 100_000:
        raise JobError(
            _INVALID,
            f"--max_profiler_iterations {value[:100]}: this hub times {least} inferences at least, 100000 at most",
        )
    return int(value)
