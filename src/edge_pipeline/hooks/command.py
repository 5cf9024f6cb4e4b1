"""Report a user's mistake as one message instead of a traceback."""

import errno
import re
import sys
import warnings
from types import TracebackType

from edge_pipeline.core.errors import EdgePipelineError, causes, suggest

_UNKNOWN_PIPELINE = re.compile(r"Failed to find the pipeline named '([^']*)'")
_KEDRO_MISTAKES = ("Pipeline does not contain", "Node names", "Given configuration")


def report_errors_plainly() -> None:
    """Print errors that a user can do something about as text; leave all others to the hook that was there.

    Called when a command starts, and again when the project is loaded: its logging may have put a hook of its own.
    """
    if getattr(sys.excepthook, "__module__", "") == __name__:
        return
    warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")
    previous = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = explain(error)
        if message is None:
            previous(kind, error, trace)
        else:
            print(f"\nError: {message}", file=sys.stderr)

    sys.excepthook = report


def explain(error: BaseException) -> str | None:
    """Return what to tell the user, or `None` if `error` is a defect whose traceback matters."""
    for one in causes(error):
        if isinstance(one, EdgePipelineError):
            return str(one)
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk is full: {one}. Free some space and run the same command again."
    return _kedro_mistake(error) if isinstance(error, ValueError) and _has_models() else None


def _kedro_mistake(error: ValueError) -> str | None:
    """Return what to tell a user who chose a part of the project that is not there."""
    text = str(error)
    if text.startswith("Pipeline contains no nodes"):
        return f"nothing to run: no stage matches the options given, or no model is marked `default`. {_tags()}"
    unknown = _UNKNOWN_PIPELINE.search(text)
    if unknown:
        from kedro.framework.project import pipelines

        valid = [name for name in pipelines if name != "__default__"]
        return f"no model or pipeline is named '{unknown[1]}'; {suggest(unknown[1], valid)}"
    return text if text.startswith(_KEDRO_MISTAKES) else None


def _has_models() -> bool:
    from edge_pipeline.pipeline_registry import load_project

    try:
        return bool(load_project().models)
    except EdgePipelineError:
        return False


def _tags() -> str:
    from kedro.framework.project import pipelines

    tags = sorted({tag for pipeline in pipelines.values() for node in pipeline.nodes for tag in node.tags})
    return f"Tags of this project: {', '.join(tags)}."
