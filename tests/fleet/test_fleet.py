"""A fleet of boards on loopback: some fail, each in its own way, and everything is on record."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.bundle import Content, DeviceClass
from edge_pipeline.fleet.errors import BundleError, DeployError
from edge_pipeline.fleet.fleet import Fleet
from edge_pipeline.fleet.keys import PrivateKey, PublicKey
from edge_pipeline.fleet.records import Records
from edge_pipeline.fleet.rollout import Plan
from tests.fleet.conftest import PROJECT, changed, model_folder

Release = Callable[..., bytes]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "FIRST_S", 0.2)


@pytest.fixture
def fleet(trusted: list[PublicKey], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes a fleet of devices; `said` has what it tells."""

    def make(devices: dict[str, DeviceSpec]) -> Any:
        said: list[str] = []
        made = Fleet(tmp_path / "project", PROJECT, devices, trusted, said.append)
        made.said = said  # type: ignore[attr-defined]
        return made

    return make


def in_use(spec: DeviceSpec) -> str | None:
    path = model_folder(spec) / "current" / "artifact" / "version.txt"
    return path.read_text() if path.exists() else None


@pytest.mark.slow
def test_twenty_boards_of_which_three_fail(
    wrapped: Any, fleet: Any, release: Release, tmp_path: Path, mount_disk: Any
) -> None:
    names = [f"b{number}" for number in range(20)]
    devices = {name: wrapped(name) for name in names}
    disk = mount_disk(tmp_path / "disk", "4m")
    (disk / "fill").write_bytes(bytes(4_100_000))
    devices["b5"] = wrapped("b5", folder=str(disk))
    devices["b9"] = wrapped("b9", agent="exit 3")
    away = devices["b13"]
    devices["b13"] = away.model_copy(update={"address": "edge@127.0.0.1:1"})
    some = fleet(devices)
    entries = some.deploy(some.open(release(1)), names, Plan(canary=1, waves=(50.0, 100.0), max_failures=2))
    bad = {name: one for name, one in entries.items() if one.state != "deployed"}
    assert {name: one.state for name, one in bad.items()} == {"b5": "failed", "b9": "failed", "b13": "pending"}
    assert "disk is full" in bad["b5"].message and "exit status 3" in bad["b9"].message
    assert "tried for" in bad["b13"].message
    assert [name for name in names if in_use(devices[name]) == "1"] == [n for n in names if n not in bad]
    assert some.said[0].startswith("b0: deployed: golden test")

    (disk / "fill").unlink()
    again = fleet({**devices, "b9": wrapped("b9"), "b13": away})
    assert again.sync("digits")["b13"].state == "deployed"
    assert in_use(away) == "1"
    again.deploy(again.open(release(1)), ["b5", "b9"], Plan())
    rows = again.status(["b5", "b9", "b13"], test=True)
    assert [(row.version, row.notes, row.health) for row in rows] == [(1, (), "golden test 200.0 dB")] * 3
    assert not list((tmp_path / "project" / "data" / "09_fleet" / "bundles").iterdir())


def test_a_canary_that_fails_stops_it(wrapped: Any, fleet: Any, release: Release) -> None:
    devices = {name: wrapped(name) for name in ("a", "b", "c")}
    some = fleet(devices)
    some.deploy(some.open(release(1)), ["a"], Plan())
    entries = some.deploy(some.open(release(2, wrong=True)), ["a", "b", "c"], Plan(canary=1, max_failures=3))
    assert [entries[name].state for name in "abc"] == ["failed", "stopped", "stopped"]
    assert "golden test failed" in entries["a"].message and "release 1 is in use" in entries["a"].message
    assert [in_use(devices[name]) for name in "abc"] == ["1", None, None]
    assert [row.version for row in some.status(["a", "b"])] == [1, None]


def test_a_board_that_was_away_gets_its_own_release_with_the_next_deployment(
    wrapped: Any, fleet: Any, release: Release
) -> None:
    near, far = wrapped("near"), wrapped("far")
    gone = far.model_copy(update={"address": "edge@127.0.0.1:1"})
    some = fleet({"near": near, "far": gone})
    some.deploy(some.open(release(1)), ["far"], Plan())
    assert "version 1 pending" in some.status(["far"])[0].notes[1]
    back = fleet({"near": near, "far": far})
    back.deploy(back.open(release(2)), ["near"], Plan())
    assert (in_use(near), in_use(far)) == ("2", "1")


def test_going_back_on_the_whole_fleet(wrapped: Any, fleet: Any, release: Release) -> None:
    devices = {"a": wrapped("a"), "b": wrapped("b").model_copy(update={"address": "edge@127.0.0.1:1"})}
    some = fleet(devices)
    for version in (1, 2):
        some.deploy(some.open(release(version)), ["a", "b"], Plan())
    found = some.back("digits", ["a", "b"])
    assert (found["a"].state, in_use(devices["a"])) == ("rolled back", "1")
    assert found["a"].message.startswith("version 1, golden test")
    assert some.sync("digits") == {}, "what was rolled back is not caught up"
    assert "nothing to go back to" in some.back("digits", ["a"])["a"].message
    assert in_use(devices["a"]) == "1"
    with pytest.raises(BundleError, match="downgrade"):
        again = fleet(devices)
        again.deploy(again.open(release(3)), ["a"], Plan())
        again.deploy(again.open(release(2)), ["a"], Plan())
    assert again.deploy(again.open(release(2)), ["a"], Plan(), older=True)["a"].state == "deployed"
    assert in_use(devices["a"]) == "2"


def test_a_killed_deployment_goes_on(wrapped: Any, fleet: Any, release: Release, monkeypatch: Any) -> None:
    devices = {name: wrapped(name) for name in ("a", "b")}
    some = fleet(devices)
    child = os.fork()
    if child == 0:
        original = Records.write

        def write(self: Records, model: str, record: Any) -> None:
            original(self, model, record)
            if "a" in record.boards and record.boards["a"].state == "deployed":
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(Records, "write", write)
        some.deploy(some.open(release(1)), ["a", "b"], Plan())
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (in_use(devices["a"]), in_use(devices["b"])) == ("1", None)
    assert some.status(["b"])[0].notes == ("version 1 waiting",)
    assert {name: one.state for name, one in some.sync("digits").items()} == {"a": "deployed", "b": "deployed"}
    assert in_use(devices["b"]) == "1"


def test_what_is_refused_before_any_board_is_asked(
    wrapped: Any, fleet: Any, release: Release, content: Content, stranger: PrivateKey, tmp_path: Path
) -> None:
    chip = DeviceSpec(kind="ssh", address="edge@127.0.0.1:1", chip="QCS6490", labels=("lab",))
    some = fleet({"host": DeviceSpec(kind="host"), "rb3": chip, "big": chip.model_copy(update={"chip": "QCS8550"})})
    assert some.select() == ["rb3", "big"] and some.select(labels=["lab"], names=["big"]) == ["rb3", "big"]
    for choice, told in (
        ({"names": ["rb33"]}, "did you mean 'rb3'"),
        ({"names": ["host"]}, "of kind host"),
        ({"labels": ["kitchen"]}, "no board has the label 'kitchen'"),
    ):
        with pytest.raises(DeployError, match=told):
            some.select(**choice)
    data = release(targets=changed(content, fits=DeviceClass(RuntimeName.ONNX, ("x",), "QCS8550", "ssh")))
    with pytest.raises(DeployError, match="nothing was deployed") as raised:
        some.deploy(some.open(data), ["rb3", "big"], Plan())
    assert "rb3: the bundle digits 1 holds no artifact" in str(raised.value) and "big:" not in str(raised.value)
    assert some.fitting(some.open(data), ["rb3", "big"]) == ["big"]
    for bad, told in (
        (release(signer=stranger), "foreign, signed by the key"),
        (release(project="Another"), "foreign: it is of the project"),
        (release()[:-1], "truncated"),
    ):
        with pytest.raises(BundleError, match=told):
            some.open(bad)
    with pytest.raises(BundleError, match="foreign: it holds the model"):
        some.open(release(), "yolo")
    assert not (tmp_path / "project").exists()
    with Records(tmp_path / "project").locked("digits"), pytest.raises(DeployError, match="another process"):
        some.deploy(some.open(data), ["big"], Plan())


@pytest.mark.parametrize(
    "answer",
    [
        {"models": {"digits": {"current": {"version": "one"}}}},
        {"models": {"digits": {"current": 7}}},
        {"models": {"digits": []}},
        {"models": {"\x1b[2J": {"current": None}}},
        {"models": {}},
    ],
)
def test_what_a_board_makes_up_is_not_believed(
    wrapped: Any, fleet: Any, answer: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "answer").write_text(json.dumps(answer))
    some = fleet({"a": wrapped("a", step=f"cat {tmp_path}/answer; exit 0")})
    (row,) = some.status(["a"])
    assert (row.board, row.version) == ("a", None)
    assert ("makes no sense" in " ".join(row.notes)) == bool(answer["models"])
