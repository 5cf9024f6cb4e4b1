import logging
import sys
import threading
import warnings

import pytest

from edge_pipeline.core.quiet import quiet


@pytest.fixture
def logged():
    """What the logger `library` lets through; no other handler gets it."""
    logger, found = logging.getLogger("library"), []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    logger.propagate = False
    yield found
    logger.propagate = True
    logger.removeHandler(handler)


def test_what_is_printed_warned_of_and_logged_is_dropped(capsys, logged, recwarn):
    with quiet():
        print("printed")
        print("printed", file=sys.stderr)
        warnings.warn("warned", stacklevel=1)
        logging.getLogger("library").warning("logged")
    assert capsys.readouterr() == ("", "")
    assert not logged
    assert not recwarn.list


def test_all_is_heard_again_after_an_error(capsys, logged):
    with pytest.raises(RuntimeError), quiet():
        raise RuntimeError
    print("printed")
    logging.getLogger("library").warning("logged")
    assert capsys.readouterr().out == "printed\n"
    assert logged == ["logged"]


def test_a_stricter_one_inside_silences_errors_too(logged):
    with quiet(), quiet(logging.CRITICAL):
        logging.getLogger("library").error("logged")
    assert not logged


def test_threads_that_are_quiet_at_once_leave_nothing_silenced(capsys, logged):
    inside, ended = threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            inside.set()
            ended.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    second = quiet()
    second.__enter__()
    ended.set()
    thread.join()
    print("still dropped")
    second.__exit__(None, None, None)
    print("printed")
    logging.getLogger("library").warning("logged")
    assert capsys.readouterr().out == "printed\n"
    assert logged == ["logged"]
