"""The tag `run_group`: several commands may share one."""

import re

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.hooks.group import VARIABLE, run_group


def test_it_is_the_time(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert re.fullmatch(r"\d{8}-\d{6}", run_group())


def test_a_variable_names_it(monkeypatch):
    monkeypatch.setenv(VARIABLE, "dag/scheduled__2026-01-05T03:00:00+00:00")
    assert run_group() == "dag/scheduled__2026-01-05T03:00:00+00:00"


@pytest.mark.parametrize("value", ["with 'quotes'", "x" * 251, "line\nbreak"])
def test_a_name_that_cannot_be_searched_for_is_refused(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match=VARIABLE):
        run_group()
