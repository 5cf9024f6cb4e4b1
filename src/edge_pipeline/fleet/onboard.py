"""What a board does itself with releases: check one, lay it out beside the others, switch to it, go back.

This file, onboard_release.py and ed25519.py are given to the board's Python, standard library only, for every step, as
boardside.py is. `folder` in every argument is where the board keeps everything; of a model that is `models/<model>`:

    releases/<name>/   all of one release for this board: manifest.json, signature.json, artifact/, golden/ ...
    current            link to the release in use; one rename changes it
    lock               held during a step

A release is whole before it has its name, and knows in `deployed.json` which one it replaced. Every step can be killed
at any moment and be done again: `current` leads to a whole release all the time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_pipeline.fleet.onboard_release import (
    DEPLOYED,
    MANIFEST,
    SIGNATURE,
    RefusedError,
    damage,
    deployed,
    flush,
    note,
    signed,
    unpack,
    write,
)


def look(argument: dict[str, Any]) -> dict[str, Any]:
    """Tell what is there of `model`, or of every model: the release in use, and all others."""
    models = Path(argument["folder"]).expanduser() / "models"
    wanted = argument.get("model")
    places = [models / wanted] if wanted else sorted(models.glob("*")) if models.is_dir() else []
    return {"models": {place.name: _told(place) for place in places if (place / "releases").is_dir()}}


def install(argument: dict[str, Any]) -> dict[str, Any]:
    """Check a parcel, a file that was sent, and lay its release out; return its name. Nothing uses it yet.

    `parcel` is its SHA-256, `slug` the target in it, `trusted` the public keys that may have signed it, `older` whether
    an older release than the one in use is wanted, and `project`, `model` what it must be of.
    """
    folder = Path(argument["folder"]).expanduser()
    source = folder / "files" / argument["parcel"]
    place = folder / "models" / argument["model"]
    if not source.is_file():
        raise RefusedError("the parcel is not there; it was deleted meanwhile")
    with _locked(place), zipfile.ZipFile(source) as parcel:
        manifest, signature = parcel.read(MANIFEST), parcel.read(SIGNATURE)
        found = signed(manifest, signature, argument["trusted"])
        if (found["project"], found["model"]) != (argument["project"], argument["model"]):
            raise RefusedError(f"the bundle is foreign: it is of {found['model']} of the project {found['project']}")
        now = _told(place)["current"]
        if now and now["project"] != found["project"]:
            raise RefusedError(f"the board has the model {found['model']} of another project, {now['project']}")
        if now and now["version"] > found["version"] and not argument["older"]:
            raise RefusedError(f"the bundle is a downgrade: {found['version']}, version {now['version']} is in use")
        if known := next((one for one in _releases(place) if _is(one, manifest, argument["slug"])), None):
            return {"name": known.name, "path": str(known)}
        name = _free(place / "releases", str(found["version"]))
        part = place / f".part-{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            unpack(parcel, found, argument["slug"], part)
            write(part / MANIFEST, manifest)
            write(part / SIGNATURE, signature)
            write(part / DEPLOYED, json.dumps({"slug": argument["slug"], "previous": None}).encode())
            if problem := damage(part):
                raise RefusedError(f"what was written is not what was signed: {problem}; check the board's disk")
            flush(part)
            part.rename(place / "releases" / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        flush(place / "releases")
        return {"name": name, "path": str(place / "releases" / name)}


def switch(argument: dict[str, Any]) -> dict[str, Any]:
    """Let `current` lead to the release `name`, which remembers the one before; `since` is the time."""
    place = _place(argument)
    with _locked(place):
        release = place / "releases" / argument["name"]
        if problem := damage(release):
            raise RefusedError(f"the release {argument['name']} is damaged: {problem}")
        before = _current(place)
        if before != release:
            note(release, previous=before.name if before else None, since=argument["since"], health=None)
            _point(place, release)
        return {"name": release.name, "path": str(place / "current")}


def confirm(argument: dict[str, Any]) -> dict[str, Any]:
    """Note in words how healthy the release in use, `name`, is; delete those that are neither in use nor before it."""
    place = _place(argument)
    with _locked(place):
        release = _current(place)
        if release is None or release.name != argument["name"]:
            raise RefusedError(f"another release than {argument['name']} is in use: somebody else deployed meanwhile")
        note(release, health=argument["health"])
        kept = {release.name, deployed(release).get("previous")}
        for one in _releases(place):
            if one.name not in kept:
                _remove(one)
        with contextlib.suppress(FileNotFoundError):
            (Path(argument["folder"]).expanduser() / "files" / argument.get("parcel", "-")).unlink()
    return {"name": release.name}


def back(argument: dict[str, Any]) -> dict[str, Any]:
    """Go from the release `name`, if it is in use, back to the one before it, and delete it unless `keep`.

    Where there is none before it, nothing is in use any more. Returns the name of the release that is.
    """
    place = _place(argument)
    with _locked(place):
        release, failed = _current(place), place / "releases" / argument["name"]
        if release == failed:
            previous = deployed(failed).get("previous")
            target = place / "releases" / previous if previous else None
            problem = damage(target) if target else "there is no release before it"
            if problem and argument["keep"]:
                raise RefusedError(f"there is nothing to go back to: {problem}")
            if problem or target is None:
                (place / "current").unlink()
                flush(place)
            else:
                note(target, since=argument["since"], health=None)
                _point(place, target)
        if not argument["keep"]:
            _remove(failed)
        now = _current(place)
        return {"name": now.name if now else None}


def _told(place: Path) -> dict[str, Any]:
    current = _current(place)
    names = [one.name for one in _releases(place)]
    if current is None:
        return {"current": None, "releases": names}
    found: dict[str, Any] = {"name": current.name, "path": str(place / "current"), "damage": damage(current)}
    with contextlib.suppress(OSError, ValueError, KeyError):
        manifest = (current / MANIFEST).read_bytes()
        told, noted = json.loads(manifest), deployed(current)
        found |= {"version": told["version"], "project": told["project"], "created": told["created"]}
        found |= {"digest": hashlib.sha256(manifest).hexdigest(), "target": told["targets"][noted["slug"]]["target"]}
        found |= {key: noted.get(key) for key in ("slug", "previous", "since", "health")}
    return {"current": found if "version" in found else None, "releases": names}


def _is(release: Path, manifest: bytes, slug: str) -> bool:
    with contextlib.suppress(OSError, ValueError, KeyError):
        same = (release / MANIFEST).read_bytes() == manifest and deployed(release)["slug"] == slug
        return same and not damage(release)
    return False


def _free(releases: Path, version: str) -> str:
    """Return a name for a new release: its version, unless a damaged or another one has that."""
    number = 0
    while (releases / (name := f"{version}.{number}" if number else version)).exists():
        number += 1
    return name


def _place(argument: dict[str, Any]) -> Path:
    return Path(argument["folder"]).expanduser() / "models" / str(argument["model"])


def _current(place: Path) -> Path | None:
    try:
        found = place / (place / "current").readlink()
    except OSError:
        return None
    return found if found.is_dir() else None


def _releases(place: Path) -> list[Path]:
    folder = place / "releases"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _point(place: Path, release: Path) -> None:
    part = place / ".current.part"
    part.unlink(missing_ok=True)
    part.symlink_to(Path("releases") / release.name)
    part.replace(place / "current")
    flush(place)


def _remove(release: Path) -> None:
    """Delete a release; it loses its name first, so that nobody meets half of one."""
    trash = release.parent.parent / f".part-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        release.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one step at a time change a model's releases; remove what a killed one left."""
    (place / "releases").mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in place.glob(".part-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


STEPS = {one.__name__: one for one in (look, install, switch, confirm, back)}


def main(step: str, argument: str) -> None:
    """Do a step and print its answer, one line of JSON."""
    try:
        answer = STEPS[step](json.loads(argument))
    except RefusedError as error:
        answer = {"refused": str(error)}
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        answer = {"refused": f"the parcel is damaged: {error}"}
    except OSError as error:
        answer = {"refused": f"{error.strerror or error}: {error.filename or step}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
