import logging
import sys
import threading
import warnings

import pytest

from edge_pipeline.core.quiet import quiet


def test_what_is_printed_warned_of_and_logged_is_dropped(capsys, caplog, recwarn):
    with quiet():
        print("printed")
        print("printed", file=sys.stderr)
        warnings.warn("warned", stacklevel=1)
        logging.getLogger("library").warning("logged")
    assert capsys.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list


def test_all_is_heard_again_after_an_error(capsys, caplog):
    with pytest.raises(RuntimeError), quiet():
        raise RuntimeError
    print("printed")
    logging.getLogger("library").warning("logged")
    assert capsys.readouterr().out == "printed\n"
    assert [record.message for record in caplog.records] == ["logged"]


def test_a_stricter_one_inside_silences_errors_too(caplog):
    with quiet(), quiet(logging.CRITICAL):
        logging.getLogger("library").error("logged")
    assert not caplog.records


def test_threads_that_are_quiet_at_once_leave_nothing_silenced(capsys, caplog):
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
    assert [record.message for record in caplog.records] == ["logged"]
