"""What a board does itself, as processes of their own, each killed at every change that it makes to the disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.files import sha256
from edge_pipeline.fleet import onboard
from edge_pipeline.fleet.archive import archive, unarchive
from edge_pipeline.fleet.boards import _script
from edge_pipeline.fleet.bundle import MANIFEST, SIGNATURE, read_bundle
from edge_pipeline.fleet.keys import PrivateKey, PublicKey
from tests.fleet.conftest import PROJECT, SLUG

MODEL = f"targets/{SLUG}/artifact/model.onnx"
CHANGES = ("rename", "replace", "symlink", "unlink", "rmdir", "mkdir", "fsync")
"""The calls that change the disk, or bring it up to date."""


class Disk:
    """The folder of a board, on which steps are done."""

    def __init__(self, root: Path, trusted: list[PublicKey]) -> None:
        self.root, self.place = root, root / "models" / "digits"
        self._trusted = [one.raw.hex() for one in trusted]

    def _argument(self, argument: dict[str, Any]) -> dict[str, Any]:
        return {"folder": str(self.root), "model": "digits", "since": "2026-01-02", **argument}

    def do(self, step: str, **argument: Any) -> dict[str, Any]:
        """Do a step in this process."""
        try:
            return onboard.STEPS[step](self._argument(argument))
        except onboard.RefusedError as error:
            return {"refused": str(error)}

    def ask(self, step: str, *options: str, **argument: Any) -> dict[str, Any]:
        """Let another Python do a step, as a board does."""
        command = [sys.executable, *options, "-", step, json.dumps(self._argument(argument))]
        done = subprocess.run(command, input=_script(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def killed(self, step: str, number: int, **argument: Any) -> bool:
        """Do a step in a process that is killed at its n-th change, before or after it; tell if it came to that."""
        child = os.fork()
        if child == 0:
            try:
                _arm(number)
                onboard.STEPS[step](self._argument(argument))
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL)
        return status != 0

    def parcel(self, data: bytes, trusted: list[PublicKey], slug: str = SLUG) -> dict[str, Any]:
        """Put the parcel of a bundle there, and return what `install` needs to know."""
        return self.put(read_bundle(data, trusted).parcel(slug))

    def put(self, parcel: bytes) -> dict[str, Any]:
        (self.root / "files").mkdir(parents=True, exist_ok=True)
        (self.root / "files" / sha256(parcel)).write_bytes(parcel)
        about = {"slug": SLUG, "project": PROJECT, "trusted": self._trusted, "older": False}
        return {"parcel": sha256(parcel), **about}

    def bring(self, wanted: dict[str, Any]) -> str:
        """Do all steps of a deployment."""
        name: str = self.do("install", **wanted)["name"]
        self.do("switch", name=name)
        self.do("confirm", name=name, health="well", parcel=wanted["parcel"])
        return name

    @property
    def now(self) -> Any:
        return self.do("look")["models"]["digits"]["current"]

    def version(self) -> int:
        """Return the version in use, read as an application would; all of it is whole."""
        now = self.now
        assert now["damage"] == ""
        assert (self.place / "current" / "artifact" / "version.txt").read_text() == str(now["version"])
        return int(now["version"])


def _arm(number: int) -> None:
    """Let this process be killed at the n-th change, before it where the number is even."""
    left = [number]

    def counted(original: Any) -> Any:
        def act(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0 and number % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            done = original(*arguments, **more)
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return act

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


@pytest.fixture
def disk(tmp_path: Path, trusted: list[PublicKey]) -> Disk:
    return Disk(tmp_path / "board", trusted)


Release = Callable[..., bytes]


def test_a_release_is_laid_out_used_and_replaced(disk: Disk, release: Release, trusted: list[PublicKey]) -> None:
    for version in (1, 2, 3):
        assert disk.bring(disk.parcel(release(version), trusted)) == str(version)
        assert disk.version() == version
    assert sorted(one.name for one in (disk.place / "releases").iterdir()) == ["2", "3"]
    assert (disk.now["previous"], disk.now["health"], disk.now["slug"]) == ("2", "well", SLUG)
    assert not list((disk.root / "files").iterdir()), "parcels are not kept twice"
    assert disk.do("back", name="3", keep=True)["name"] == "2"
    assert disk.version() == 2
    assert "nothing to go back to" in disk.do("back", name="2", keep=True)["refused"]
    assert disk.version() == 2


def test_what_is_refused_changes_nothing(
    disk: Disk, release: Release, trusted: list[PublicKey], stranger: PrivateKey
) -> None:
    disk.bring(disk.parcel(release(2), trusted))
    good = disk.parcel(release(3), trusted)
    files = unarchive(read_bundle(release(3), trusted).parcel(SLUG))
    foreign = disk.parcel(release(3, signer=stranger), [stranger.public])
    other = disk.parcel(release(3, project="Another"), trusted)
    for wanted, told in (
        (disk.parcel(release(1), trusted), "downgrade"),
        (foreign, "foreign: it is signed by"),
        ({**foreign, "trusted": []}, "foreign"),
        ({**good, "project": "Another"}, "foreign: it is of"),
        (other, "foreign: it is of digits of the project Another"),
        ({**other, "project": "Another"}, "of another project"),
        ({**good, "slug": "rb3-qnn"}, "no target rb3-qnn"),
        ({**good, "parcel": "0" * 64}, "parcel is not there"),
        (disk.put(archive({**files, MANIFEST: files[MANIFEST].replace(b'"version":3', b'"version":9')})), "tampered"),
        (disk.put(archive({**files, MODEL: files[MODEL][:-1] + b"x"})), "not what was signed"),
        (disk.put(archive({**files, MODEL: files[MODEL][:-1]})), "not what was signed"),
    ):
        assert told in disk.do("install", **wanted)["refused"]
        assert disk.version() == 2
        assert [one.name for one in (disk.place / "releases").iterdir()] == ["2"]
        assert not list(disk.place.glob(".part-*"))
    assert disk.do("install", **{**disk.parcel(release(1), trusted), "older": True})["name"] == "1"


@pytest.mark.parametrize("options", [(), ("-I", "-S")], ids=["with-cryptography", "standard-library-alone"])
def test_the_python_of_a_board_does_the_steps(
    disk: Disk, release: Release, trusted: list[PublicKey], stranger: PrivateKey, options: tuple[str, ...]
) -> None:
    claimed = unarchive(read_bundle(release(1, signer=stranger), [stranger.public]).parcel(SLUG))
    claimed[SIGNATURE] = claimed[SIGNATURE].replace(stranger.public.id.encode(), trusted[0].id.encode())
    assert "tampered" in disk.ask("install", *options, **disk.put(archive(claimed)))["refused"]
    wanted = disk.parcel(release(1), trusted)
    assert disk.ask("install", *options, **wanted)["name"] == "1"
    assert disk.ask("switch", *options, name="1")["path"] == str(disk.place / "current")
    assert disk.version() == 1
    assert "damaged" in disk.ask("install", *options, **disk.put(b"no zip"))["refused"]


def test_a_damaged_release_is_laid_out_anew_and_never_switched_to(
    disk: Disk, release: Release, trusted: list[PublicKey]
) -> None:
    wanted = disk.parcel(release(1), trusted)
    name = disk.do("install", **wanted)["name"]
    (disk.place / "releases" / name / "artifact" / "model.onnx").write_bytes(b"half")
    assert "damaged" in disk.do("switch", name=name)["refused"]
    assert disk.bring(wanted) == "1.1"
    assert disk.version() == 1
    (disk.place / "current" / "artifact" / "model.onnx").write_bytes(b"half")
    assert "not the file that was signed" in disk.now["damage"]


@pytest.mark.parametrize("step", ["install", "switch", "confirm", "back"])
def test_a_step_that_is_killed_at_any_moment_leaves_a_whole_release_and_can_be_done_again(
    disk: Disk, release: Release, trusted: list[PublicKey], step: str, tmp_path: Path
) -> None:
    disk.bring(disk.parcel(release(1), trusted))
    disk.bring(disk.parcel(release(2), trusted))
    wanted = disk.parcel(release(3), trusted)
    order = ["install", "switch", "confirm"]
    for earlier in order[: order.index(step) if step in order else 2]:
        disk.do(earlier, **wanted, name="3", health="well")
    argument = {**wanted, "name": "3", "health": "well", "keep": False}
    expected = {"install": {2}, "switch": {2, 3}, "confirm": {3}, "back": {2, 3}}[step]
    kills = 0
    for kill_at in range(1, 200):
        copy = Disk(tmp_path / f"copy{kill_at}", trusted)
        shutil.copytree(disk.root, copy.root, symlinks=True)
        killed = copy.killed(step, kill_at, **argument)
        assert copy.version() in expected
        assert not [one for one in (copy.place / "releases").iterdir() if onboard.damage(one)]
        if not killed:
            break
        kills += 1
        if step == "back":
            copy.do(step, **argument)
            assert copy.version() == 2
        copy.parcel(release(3), trusted)
        assert copy.bring(wanted).startswith("3")
        assert copy.version() == 3
        assert not list(copy.place.glob(".part-*"))
        assert len(list((copy.place / "releases").iterdir())) == 2
    assert kills >= {"install": 15, "switch": 4, "confirm": 4, "back": 4}[step]
