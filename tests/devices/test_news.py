"""What a board says of a job while that runs; nothing of it is trusted."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.devices.agent.events import EVERY_NS, MOST_BYTES, Events
from edge_pipeline.devices.news import LONGEST, Following, News, words


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"doing": "loading"}, "loading"),
        ({"doing": "measuring", "done": 40, "total": 100}, "measuring 40/100"),
        ({"doing": "sustained run", "done": 30.2, "total": 120, "unit": "s"}, "sustained run 30 s of 120 s"),
        ({"doing": "measuring", "done": 7}, "measuring 7"),
    ],
)
def test_an_event_is_shown_in_words(event: dict[str, Any], shown: str) -> None:
    assert words(json.dumps(event)) == shown


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Welcome!",
        "[]",
        "[" * 100_000,
        json.dumps({"doing": "\x1b[2J rm -rf"}),
        json.dumps({"doing": "measuring", "done": "many"}),
        json.dumps({"doing": "measuring", "done": -1}),
        json.dumps({"doing": "measuring", "done": 1e300}),
        '{"doing": "measuring", "done": NaN}',
        json.dumps({"doing": "measuring", "more": 1}),
        json.dumps({"doing": "measuring"}) + " " * LONGEST,
    ],
)
def test_anything_else_is_passed_over(line: str) -> None:
    assert words(line) is None


def passed_on(event: dict[str, Any], seen: int) -> str:
    return json.dumps({"event": json.dumps(event) + "\n", "seen": seen}) + "\n"


def test_parts_that_end_anywhere_are_put_together() -> None:
    told: list[str] = []
    news = News(told.append)
    whole = passed_on({"doing": "loading"}, 20) + passed_on({"doing": "measuring", "done": 1, "total": 9}, 60)
    for character in whole + '{"state": "ended"}\n':
        news.hear(character)
    assert (told, news.seen) == (["loading", "measuring 1/9"], 60)


def test_what_was_heard_before_the_link_was_lost_is_not_told_again() -> None:
    told: list[str] = []
    news = News(told.append)
    for _ in range(2):
        news.hear(passed_on({"doing": "loading"}, 20))
    assert told == ["loading"]


@pytest.mark.parametrize(
    "part",
    [
        "x" * 10_000_000,
        json.dumps({"event": 1, "seen": 5}) + "\n",
        json.dumps({"event": "{}", "seen": True}) + "\n",
        json.dumps({"event": "{}"}) + "\n",
        "[" * 5000 + "\n",
    ],
)
def test_a_board_that_babbles_tells_nothing_and_fills_no_memory(part: str) -> None:
    told: list[str] = []
    news = News(told.append)
    for _ in range(3):
        news.hear(part)
    assert told == []
    assert len(news._rest) <= 2 * LONGEST


def test_the_agent_writes_few_events_and_never_many(tmp_path: Path) -> None:
    path = tmp_path / "events"
    events = Events(str(path))
    for index in range(1000):
        events.tell("measuring", index, 1000)
    assert len(path.read_text().splitlines()) == 1
    assert not events.due("measuring", 0) and events.due("loading", 0)
    events._last = ("measuring", -10 * EVERY_NS)
    assert events.due("measuring", 0)
    for index in range(MOST_BYTES):
        events.tell(("loading", "measuring")[index % 2])
    assert MOST_BYTES - 100 < path.stat().st_size <= MOST_BYTES


def test_events_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    events = Events(str(tmp_path / "nowhere" / "events"))
    events.tell("loading")
    assert not events.due("measuring", 0)
    Events(None).tell("loading")


def test_a_file_is_followed_by_whole_lines(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "events"
    following = Following(path, told.append)
    following.look()
    line = json.dumps({"doing": "loading"})
    for content in (line[:5], line):
        path.write_text(content)
        following.look()
        assert told == []
    path.write_text(f"{line}\n")
    following.look()
    following.look()
    assert told == ["loading"]
