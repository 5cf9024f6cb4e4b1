"""What is asked of one board: lay a release out, test it, switch to it, test again, or go back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files as package_files
from types import NoneType
from typing import Any, NoReturn

from edge_pipeline.core.errors import DeviceError, EdgePipelineError
from edge_pipeline.devices.adding import named_chip
from edge_pipeline.devices.boards.board import Board
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.devices.inventory import board as board_of
from edge_pipeline.fleet.bundle import MANIFEST, Bundle
from edge_pipeline.fleet.errors import DeployError
from edge_pipeline.fleet.golden import golden_test
from edge_pipeline.fleet.keys import PublicKey

ANSWERS: Mapping[str, Mapping[str, type]] = {
    "look": {"models": dict},
    "install": {"name": str, "path": str},
    "switch": {"name": str, "path": str},
    "confirm": {"name": str},
    "back": {},
}
"""What the answer to each step of onboard.py has at least."""

_IN_USE: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "path", "damage", "digest", "slug", "target", "project"), str),
    **dict.fromkeys(("since", "health"), (str, NoneType)),
    "version": int,
}
"""What is told of a release in use."""

_LONGEST = 1000
"""Most characters of a text of that."""

_STEPS = ("ed25519", "onboard_release", "onboard")
_LOADER = """\
import sys, types
for name, text in {modules!r}.items():
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["edge_pipeline.fleet.onboard"].main(sys.argv[1], sys.argv[2])
"""


class Station:
    """A board of the fleet, for one action.

    Args:
        name: of the device.
        device: its entry.
        trusted: keys that may have signed what is there.
    """

    def __init__(self, name: str, device: DeviceSpec, trusted: Sequence[PublicKey]) -> None:
        self._name, self._device, self._trusted = name, device, trusted
        self._board: Board = board_of(device)

    async def models(self) -> dict[str, Any]:
        """Return what is in use on the board, by model; see `look` in onboard.py.

        Raises:
            DeviceError: it cannot be reached.
        """
        try:
            return self._checked(await self._do("look", {}))
        finally:
            await self._board.close()

    async def deploy(self, bundle: Bundle, *, older: bool = False) -> str:
        """Bring the board to a release, and return in words how its test went. What is done already is not done again.

        Args:
            bundle: the release.
            older: whether it may be older than the one in use.

        Raises:
            DeployError: the golden test failed; the board uses what it used before.
            DeviceError: the board cannot be reached, is full, refuses, or cannot run the model.
            BundleError: what is on the board is not what was signed.
        """
        slug = bundle.slug_for(self._name, self._device)
        if slug is None:
            raise DeployError(unfit(self._name, self._device, bundle))
        manifest = bundle.manifest
        try:
            await self._check_chip(manifest.targets[slug].fits.chip)
            now = await self._now(manifest.model)
            if now and (now["digest"], now["slug"]) == (_digest(bundle), slug) and not now["damage"]:
                return now["health"] or await self._settle(manifest.model, now, slug)
            if now and not older:
                bundle.expect(newer_than=now["version"])
            parcel = await self._board.put(bundle.parcel(slug))
            wanted = {
                "parcel": parcel,
                "slug": slug,
                "project": manifest.project,
                "model": manifest.model,
                "trusted": [one.raw.hex() for one in self._trusted],
                "older": older,
            }
            laid = await self._do("install", wanted)
            try:
                await golden_test(self._board, laid["path"], slug, self._trusted)
            except EdgePipelineError as error:
                await self._undo(manifest.model, laid["name"], error)
            now = await self._do("switch", {"model": manifest.model, "name": laid["name"], "since": _time()})
            return await self._settle(manifest.model, now, slug, parcel)
        finally:
            await self._board.close()

    async def check(self, model: str) -> str:
        """Run the golden test of the release in use, and return in words how it went.

        Raises:
            EdgePipelineError: it failed, or could not be run.
        """
        try:
            now = await self._now(model)
            if now is None:
                raise DeployError(f"{self._name}: no release of {model} is in use")
            if now["damage"]:
                raise DeployError(f"{self._name}: the release in use is damaged: {now['damage']}; deploy it again")
            return await golden_test(self._board, now["path"], now["slug"], self._trusted)
        finally:
            await self._board.close()

    async def back(self, model: str) -> str:
        """Go back to the release before the one in use, test it, and return its version and how its test went.

        Raises:
            EdgePipelineError: there is none, or the board cannot be reached, or the test fails.
        """
        try:
            now = await self._now(model)
            if now is None:
                raise DeployError(f"{self._name}: no release of {model} is in use")
            await self._do("back", {"model": model, "name": now["name"], "keep": True, "since": _time()})
            then = await self._now(model)
            assert then
            health = await golden_test(self._board, then["path"], then["slug"], self._trusted)
            await self._do("confirm", {"model": model, "name": then["name"], "health": health})
            return f"version {then['version']}, {health}"
        finally:
            await self._board.close()

    async def _check_chip(self, chip: str | None) -> None:
        """Refuse a board that says itself that it has another chip than devices.yml says."""
        if chip is None:
            return
        there = named_chip([str(one) for one in (await self._board.facts()).get("hardware", [])])
        if there not in (None, chip):
            raise DeployError(
                f"{self._name}: the board has a {there}, devices.yml says {chip}, and an artifact of another chip is "
                "not for it; correct `chip` of the device"
            )

    async def _settle(self, model: str, now: Mapping[str, Any], slug: str, parcel: str = "-") -> str:
        """Test the release that is in use now; where that fails, go back to the one before it."""
        try:
            health = await golden_test(self._board, now["path"], slug, self._trusted)
        except EdgePipelineError as error:
            await self._undo(model, now["name"], error)
        await self._do("confirm", {"model": model, "name": now["name"], "health": health, "parcel": parcel})
        return health

    async def _undo(self, model: str, name: str, error: EdgePipelineError) -> NoReturn:
        """Take a release that failed away and raise `error`, with what the board uses now.

        A board that went away keeps what it has: nothing is known of the release then.
        """
        if isinstance(error, DeviceError) and error.trouble in ("unreachable", "damaged"):
            raise error
        left = await self._do("back", {"model": model, "name": name, "keep": False, "since": _time()})
        kept = f"release {left['name']} is in use, as before" if left.get("name") else "no release is in use there"
        message = f"{self._name}: {str(error).removeprefix(f'{self._name}: ')}; {kept}"
        raise DeployError(message) from error

    async def _now(self, model: str) -> dict[str, Any] | None:
        found = self._checked(await self._do("look", {"model": model})).get(model)
        return found["current"] if found else None

    def _checked(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a board tells of its models; it may have put anything into it.

        Raises:
            DeviceError: it is not what boards tell.
        """
        found = {}
        for model, one in answer["models"].items():
            now = one.get("current") if isinstance(one, dict) else one
            if not _plain(model) or not (now is None or (isinstance(now, dict) and _sensible(now))):
                raise DeviceError(f"{self._name}: what the board tells of its models makes no sense", "damaged")
            found[model] = {"current": now}
        return found

    async def _do(self, step: str, argument: Mapping[str, Any]) -> dict[str, Any]:
        return await self._board.do(step, argument, _script(), ANSWERS)


def _sensible(now: Mapping[str, Any]) -> bool:
    """Tell whether all that is told of a release in use is of its type, and can be printed."""
    typed = all(isinstance(now.get(key), kind) for key, kind in _IN_USE.items())
    return typed and all(_plain(one) for one in now.values() if isinstance(one, str))


def _plain(text: str) -> bool:
    return text.isprintable() and len(text) < _LONGEST


def unfit(name: str, device: DeviceSpec, bundle: Bundle) -> str:
    """Return why a bundle has nothing for a device."""
    about = f"chip {device.chip or 'not known'}, {', '.join(device.engines)}"
    has = "; ".join(
        f"{one.target} for {one.fits.chip or 'any chip'} with {one.runtime}" for one in bundle.manifest.targets.values()
    )
    return f"{name}: the bundle {bundle.name} holds no artifact for this board ({about}); it has {has}"


def _digest(bundle: Bundle) -> str:
    from edge_pipeline.core.files import sha256

    return sha256(bundle.files[MANIFEST])


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def _script() -> str:
    """Return onboard.py with what it imports, as one text for a board's Python."""
    package = package_files("edge_pipeline.fleet")
    modules = {f"edge_pipeline.fleet.{name}": (package / f"{name}.py").read_text(encoding="utf-8") for name in _STEPS}
    return _LOADER.format(modules=modules)
