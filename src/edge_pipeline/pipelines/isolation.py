"""One target's failure must not stop its siblings, and graph capture must not run in two threads."""

import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from edge_pipeline.core.errors import EdgePipelineError, StorageError
from edge_pipeline.core.types import Failure

P = ParamSpec("P")
R = TypeVar("R")
_CAPTURE = threading.RLock()


def isolated(stage: str, outputs: int = 1) -> Callable[[Callable[P, R]], Callable[P, R | Any]]:
    """Turn an error of a stage into a `Failure`, and pass on a `Failure` of the stage before.

    A stage of several `outputs` fails in all of them. A `StorageError` ends the run: no stage could keep its result.

    The failures are collected in the scorecard, and the run that holds one ends with an error. The stage function
    takes a keyword `subject`, the name of what it works on.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | Failure]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R | Any:
            def failed(failure: Failure) -> Failure | tuple[Failure, ...]:
                return failure if outputs == 1 else (failure,) * outputs

            for value in (*args, *kwargs.values()):
                if isinstance(value, Failure):
                    return failed(value)
            subject = str(kwargs["subject"])
            try:
                return function(*args, **kwargs)
            except StorageError:
                raise
            except EdgePipelineError as error:
                return failed(Failure(stage, subject, str(error)))
            except Exception as error:
                return failed(Failure(stage, subject, f"{type(error).__name__}: {error}", traceback.format_exc()))

        return run

    return decorate


def one_at_a_time(function: Callable[P, R]) -> Callable[P, R]:
    """Serialise stages that trace or export: PyTorch's graph capture is not thread safe."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> R:
        with _CAPTURE:
            return function(*args, **kwargs)

    return run
