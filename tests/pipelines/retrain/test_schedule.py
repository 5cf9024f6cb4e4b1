from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.config import Project, parse
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec

EMAIL = {"host": "h", "sender": "a@b", "to": ["c@d"]}
MODEL = {"recipe": "classifier", "targets": {"runtimes": ["onnx"], "precisions": ["float"]}}


def project(schedule: Any, root: Path = Path("/project")) -> Project:
    return parse(root, {"m": MODEL}, {"host": {"kind": "host"}}, {}, {}, schedule=schedule)


def test_nothing_is_scheduled_without_a_file() -> None:
    assert not project({}).schedule


def test_an_entry_is_typed_and_its_paths_start_at_the_project() -> None:
    content = {
        "cron": "0 3 * * 1",
        "timezone": "Europe/Berlin",
        "new_data": {"path": "in/new", "min_samples": 20},
        "drift": {"predictions": True, "on_device": "s3://bucket/said.jsonl"},
        "deploy": "after_gate",
        "fleet": {"to": ["production"], "canary": 1, "waves": ["25%", 100]},
    }
    found = project({"m": content}).schedule["m"]
    assert found.new_data and found.new_data.path == "/project/in/new"
    assert found.drift and found.drift.on_device == "s3://bucket/said.jsonl"
    assert found.fleet.waves == (25, 100)


def test_the_next_time_follows_the_clocks_of_the_place() -> None:
    spec = ScheduleSpec(cron="30 3 * * *", timezone="Europe/Berlin")
    winter, summer = (spec.next_due(datetime(2026, month, 10, tzinfo=UTC)) for month in (1, 7))
    assert winter and winter.astimezone(UTC).hour == 2
    assert summer and summer.astimezone(UTC).hour == 1
    assert ScheduleSpec().next_due(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"cron": "61 * * * *"}, "no schedule: bad minute"),
        ({"cron": "0 0 30 2 *"}, "no schedule"),
        ({"cron": "@weekly"}, "five fields are expected"),
        ({"timezone": "Europe/Bonn"}, "time zone database"),
        ({"timezone": "../../etc/passwd"}, "time zone database"),
        ({"drift": {}}, "say in `new_data.path`"),
        ({"new_data": {"path": "x"}, "drift": {"inputs": False}}, "`inputs` or `predictions`"),
        ({"new_data": {"path": "x"}, "drift": {"on_device": "x"}}, "`on_device` needs"),
        ({"new_data": {"path": "x", "min_good_fraction": 0}}, "greater than 0"),
        ({"fleet": {"waves": [50, 10]}}, "rising order"),
        ({"fleet": {"waves": ["many"]}}, "integer"),
        ({"parameters": {"epochs": 3}}, "names no parameter of a stage"),
        ({"parameters": {"finetune.epochs": "3,finetune.seed=1"}}, "belong into the parameters"),
        ({"notify": {"webhook": "example.org"}}, "URL"),
        (
            {"notify": {"email": {**EMAIL, "user": "u", "password": "hunter2"}}},
            "name of an environment variable",
        ),
        (
            {"notify": {"email": {**EMAIL, "user": "u", "password": "P", "security": "none"}}},
            "only sent encrypted",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(content: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ScheduleSpec.model_validate(content)


def test_all_mistakes_are_told_at_once_with_the_closest_names() -> None:
    with pytest.raises(ConfigError) as raised:
        project({"n": {"corn": "0 3 * * 1"}, "m": {"max_age_days": -1}})
    message = str(raised.value)
    assert "schedule.yml: no model 'n' in models.yml" in message
    assert "unknown key 'corn'; did you mean 'cron'?" in message
    assert "schedule.yml: m.max_age_days" in message


def test_what_was_taken_in_joins_the_dataset(tmp_path: Path) -> None:
    assert project({}, tmp_path).models["m"].dataset.incoming is None  # type: ignore[union-attr]
    (tmp_path / "data/01_raw/m/incoming").mkdir(parents=True)
    found = project({}, tmp_path).models["m"].dataset
    assert found.incoming == tmp_path / "data/01_raw/m/incoming"  # type: ignore[union-attr]
