"""Silence libraries that print progress and warnings which mean nothing to a user."""

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_threads = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Drop what is printed, warned of, or logged up to `level`.

    What is silenced belongs to the whole process. Of threads that are quiet at the same time the first silences it and
    the last undoes that: if each undid its own, one that ends late would bring back what another had silenced, for
    good.
    """
    global _threads
    with _lock:
        if _threads == 0:
            _undo.callback(logging.disable, logging.root.manager.disable)
            _undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            _undo.enter_context(contextlib.redirect_stdout(io.StringIO()))
            _undo.enter_context(contextlib.redirect_stderr(io.StringIO()))
        logging.disable(max(level, logging.root.manager.disable))
        _threads += 1
    try:
        yield
    finally:
        with _lock:
            _threads -= 1
            if _threads == 0:
                _undo.close()
