"""The errors a user can meet. Each says what failed, where, why, and what to do."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Literal

DeviceTrouble = Literal["unreachable", "damaged", "killed", "timeout"]
"""What may be different at the next try."""


class EdgePipelineError(Exception):
    """Root of all errors that are reported to the user as one plain message."""


class ConfigError(EdgePipelineError):
    """The project's configuration is wrong; lists every problem at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} {noun} in the configuration; nothing was run:\n{lines}")


class DatasetError(EdgePipelineError):
    """A dataset cannot be read, or a sample in it is unusable."""


class ModelError(EdgePipelineError):
    """A network cannot be built or its weights cannot be loaded."""


class TrainingError(EdgePipelineError):
    """Training cannot go on."""


class QuantizationError(EdgePipelineError):
    """A model cannot be quantized."""


class ExportError(EdgePipelineError):
    """A model cannot be exported."""


class CompileError(EdgePipelineError):
    """An exported model cannot be compiled for a runtime."""


class DeviceError(EdgePipelineError):
    """A device cannot load or run an artifact; `trouble` says why, if that may pass."""

    def __init__(self, message: str, trouble: DeviceTrouble | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble


class StorageError(EdgePipelineError):
    """A file cannot be written, or what was read is not what was written."""


class ProjectBusyError(EdgePipelineError):
    """Another run holds this project."""


class TrackingError(EdgePipelineError):
    """Results could not be logged to MLflow; they are kept on disk."""


class RecordRefusedError(TrackingError):
    """MLflow answers, but does not take one record."""


class ReleaseError(EdgePipelineError):
    """A release cannot be made, promoted or rolled back."""


class ScheduleError(EdgePipelineError):
    """A model's training cannot be put into a schedule."""


class RetrainError(EdgePipelineError):
    """A model cannot be trained again."""


class TargetsFailedError(EdgePipelineError):
    """At least one target failed; the others were finished."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, and what it was raised from, down to the first cause."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def suggest(name: str, valid: Iterable[str]) -> str:
    """Return a hint naming the closest valid name, or all of them when none is close."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid names: {', '.join(names)}" if names else "no names are defined"
