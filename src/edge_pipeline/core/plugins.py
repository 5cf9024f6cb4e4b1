"""Find what users wrote themselves: `module:name` in the configuration."""

import importlib
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_pipeline.core.errors import suggest


def load_object(reference: str, what: str, error: Callable[[str], Exception]) -> Any:
    """Import `module` and return its `name`.

    Modules are looked for among the installed packages, in the project's `src` and in the current folder.

    Args:
        reference: `module:name`, for example `my_project.metrics:f1`.
        what: what it is to be, for messages, for example `metric`.
        error: makes the exception to raise out of its message.

    Raises:
        Exception: that of `error`; there is no such module or name, or the module cannot be imported.
    """
    subject, (module_name, colon, name) = f"the {what} '{reference}'", reference.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise error(
            f"{subject} is not of the form `module:name`, such as `my_project.data:make` (dots between folders, no .py)"
        )
    module = _module(module_name, subject, error)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [one for one in vars(module) if not one.startswith("_")]
        raise error(
            f"{subject} cannot be used: {module_name} ({getattr(module, '__file__', 'built in')}) has no '{name}'; "
            f"{suggest(name, public)}"
        ) from None


def load_callable(reference: str, what: str, error: Callable[[str], Exception]) -> Callable[..., Any]:
    """Do as `load_object` does for something that can be called.

    Raises:
        Exception: that of `error`; also if it cannot be called.
    """
    found = load_object(reference, what, error)
    if not callable(found):
        raise error(f"the {what} '{reference}' is of the type {type(found).__name__}, not a function or class")
    return found  # type: ignore[no-any-return]


def place_of(error: BaseException) -> str:
    """Return where in the user's code `error` arose, ` (/data/metrics.py, line 7, in f1)`, or nothing if it did not."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    others = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(others)]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno}, in {theirs[-1].name})" if theirs else ""


def _folders() -> list[Path]:
    return [Path.cwd() / "src", Path.cwd()]


def _module(name: str, subject: str, error: Callable[[str], Exception]) -> ModuleType:
    for folder in _folders():
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # at the end: a file of the user's never hides a library
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as cause:
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            looked_in = " and ".join(str(folder) for folder in _folders())
            raise error(
                f"{subject} cannot be used: there is no module '{missing}'. It is looked for among the installed "
                f"packages, in {looked_in}{_closest(missing)}"
            ) from cause
        raise error(
            f"{subject} cannot be used: importing {name} raised {type(cause).__name__}: {cause}{place_of(cause)}"
        ) from cause


def _closest(name: str) -> str:
    """Return a hint at a module of the user's own, in the folder that the name leads to."""
    package, _, _ = name.rpartition(".")
    places = [str(folder.joinpath(*package.split(".")) if package else folder) for folder in _folders()]
    prefix = f"{package}." if package else ""
    names = {prefix + one.name for one in pkgutil.iter_modules(places)}
    return f"; {suggest(name, names)}" if names else ""
