"""Deploy to the boards of a project, catch up those that were away, go back, and tell what runs where."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import DeviceError, EdgePipelineError, causes, suggest
from edge_pipeline.devices.boards.jobs import allow, wait_for
from edge_pipeline.devices.inventory import BOARDS, DeviceSpec
from edge_pipeline.fleet.boards import Station, unfit
from edge_pipeline.fleet.bundle import Bundle, read_bundle
from edge_pipeline.fleet.errors import DeployError
from edge_pipeline.fleet.keys import PublicKey
from edge_pipeline.fleet.records import Entry, Record, Records, Rollout
from edge_pipeline.fleet.rollout import AT_ONCE, Outcome, Plan, roll_out

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """What one board tells of one model; `None` where it does not tell.

    Attributes:
        board: name of the device.
        model: that it has, or shall have.
        version: in use.
        target: that was validated.
        since: when it was switched to.
        health: how its last test went, in words; empty if it was not tested since the switch.
        notes: what is wrong, or still to come.
    """

    board: str
    model: str | None
    version: int | None
    target: str | None
    since: str | None
    health: str | None
    notes: tuple[str, ...]


class Fleet:
    """The boards of a project.

    Args:
        root: the project's folder.
        project: its name.
        devices: all of devices.yml.
        trusted: keys whose bundles are taken.
        say: is told what happens, a line a time.
    """

    def __init__(
        self, root: Path, project: str, devices: Mapping[str, DeviceSpec], trusted: Sequence[PublicKey], say: Say
    ) -> None:
        self._project, self._trusted, self._say = project, trusted, say
        self._boards = {name: spec for name, spec in devices.items() if spec.kind in BOARDS}
        self._devices, self._records = devices, Records(root)

    def select(self, names: Sequence[str] = (), labels: Sequence[str] = ()) -> list[str]:
        """Return the boards with one of these names or labels, all without any.

        Raises:
            DeployError: a name or label is unknown, or of a device that is no board, or there are no boards.
        """
        for name in names:
            if name not in self._devices:
                raise DeployError(f"there is no device '{name}' in devices.yml; {suggest(name, self._boards)}")
            if name not in self._boards:
                raise DeployError(
                    f"'{name}' is of kind {self._devices[name].kind}: models are deployed to boards, of kind ssh or adb"
                )
        for label in labels:
            if not any(label in spec.labels for spec in self._boards.values()):
                known = {one for spec in self._boards.values() for one in spec.labels}
                raise DeployError(f"no board has the label '{label}'; {suggest(label, known)}")
        if not self._boards:
            raise DeployError("devices.yml has no board; `kedro edge devices add ssh://user@host` adds one")
        wanted = {name for name, spec in self._boards.items() if {*labels} & {*spec.labels}} | {*names}
        return [name for name in self._boards if name in wanted or not (names or labels)]

    def open(self, data: bytes, model: str | None = None) -> Bundle:
        """Return a bundle of this project and, where that is told, this model.

        Raises:
            BundleError: it is damaged, altered or foreign.
        """
        bundle = read_bundle(data, self._trusted)
        bundle.expect(project=self._project, model=model)
        return bundle

    def deploy(self, bundle: Bundle, boards: Sequence[str], plan: Plan, *, older: bool = False) -> dict[str, Entry]:
        """Bring boards to a release in the order of `plan`, and others that were away to theirs.

        What is done is on disk after every board: a deployment that was killed goes on with the same command.

        Args:
            bundle: the release.
            boards: names.
            plan: the order.
            older: whether it may be older than what is there.

        Returns:
            The entry of every board that was asked for.

        Raises:
            DeployError: a board is none of those that the bundle has artifacts for, or somebody else deploys.
            BundleError: the bundle is older than what is there.
        """
        model = bundle.manifest.model
        self.check_fit(bundle, boards)
        with self._records.locked(model):
            record = self._records.read(model)
            if not older:
                there = [record.boards[name] for name in boards if name in record.boards]
                bundle.expect(newer_than=max((one.version for one in there if one.state == "deployed"), default=None))
            found = self._roll_out(bundle, Rollout(bundle.digest, tuple(boards), plan, older))
            self._catch_up(model, [name for name in record.boards if name not in boards])
        return found

    def check_fit(self, bundle: Bundle, boards: Sequence[str]) -> None:
        """Refuse boards for which a bundle has nothing.

        Raises:
            DeployError: names them.
        """
        alien = [name for name in boards if bundle.slug_for(name, self._boards[name]) is None]
        if alien:
            told = "".join(f"\n  - {unfit(name, self._boards[name], bundle)}" for name in alien)
            raise DeployError(f"nothing was deployed, as there are boards that the bundle is not for:{told}")

    def fitting(self, bundle: Bundle, boards: Sequence[str]) -> list[str]:
        """Return those of the boards for which a bundle has an artifact; say which have none."""
        for name in boards:
            if bundle.slug_for(name, self._boards[name]) is None:
                self._say(f"left out: {unfit(name, self._boards[name], bundle)}")
        return [name for name in boards if bundle.slug_for(name, self._boards[name])]

    def sync(self, model: str) -> dict[str, Entry]:
        """Finish a deployment that was killed, and catch up boards that were away; return the entries of these.

        Raises:
            DeployError: somebody else deploys.
        """
        with self._records.locked(model):
            record = self._records.read(model)
            found: dict[str, Entry] = {}
            if record.rollout:
                bundle = self.open(self._records.bundle(record.rollout.bundle), model)
                known = tuple(name for name in record.rollout.boards if name in self._boards)
                found = self._roll_out(bundle, replace(record.rollout, boards=known))
            away = [name for name, one in record.boards.items() if one.state == "pending" and name not in found]
            return {**found, **self._catch_up(model, away)}

    def back(self, model: str, boards: Sequence[str]) -> dict[str, Outcome]:
        """Let boards use the release before the one in use; return how it went on each.

        Raises:
            DeployError: somebody else deploys.
        """

        def go(name: str) -> Outcome:
            return self._try(name, lambda: wait_for(self._station(name).back(model)), "rolled back")

        with self._records.locked(model):
            found = roll_out(boards, Plan(0, (100.0,), len(boards)), go, self._told)
            record = self._records.read(model)
            entries = dict(record.boards)
            for name, one in found.items():
                before = entries.get(name)
                if one.state == "rolled back" and before:
                    entries[name] = replace(before, state=one.state, message=one.message, at=_now())
                elif before and before.state in ("pending", "waiting"):
                    why = "was away when the model was rolled back, and is not caught up any more"
                    entries[name] = replace(before, state="stopped", message=why, at=_now())
            self._records.write(model, replace(record, boards=entries, rollout=None))
        return found

    def status(self, names: Sequence[str], *, test: bool = False) -> list[Row]:
        """Ask boards what they run; those that do not answer are told from the records.

        Args:
            names: of the boards.
            test: whether they run their golden tests now.
        """
        records = {model: self._records.read(model) for model in self._records.models()}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda name: self._look(name, test), names))
        return [row for name, found in zip(names, answers, strict=True) for row in _rows(name, found, records)]

    def _look(self, name: str, test: bool) -> dict[str, Any] | str:
        try:
            found = wait_for(self._station(name).models())
        except EdgePipelineError as error:
            return str(error)
        for model, one in found.items():
            if test and one["current"]:
                try:
                    one["current"]["health"] = wait_for(self._station(name).check(model))
                except EdgePipelineError as error:
                    one["current"]["damage"] = str(error)
        return found

    def _roll_out(self, bundle: Bundle, rollout: Rollout) -> dict[str, Entry]:
        model = bundle.manifest.model
        self._records.keep(bundle.digest, bundle.data)
        waiting = {name: _entry(bundle, Outcome("waiting")) for name in rollout.boards}
        record = self._records.read(model)
        self._records.write(model, replace(record, boards={**record.boards, **waiting}, rollout=rollout))

        def note(name: str, outcome: Outcome) -> None:
            self._note(bundle, name, outcome)

        try:
            roll_out(rollout.boards, rollout.plan, lambda name: self._deliver(name, bundle, rollout.older), note)
        finally:
            allow()
        record = self._records.read(model)
        self._records.write(model, replace(record, rollout=None))
        self._records.tidy()
        return {name: record.boards[name] for name in rollout.boards}

    def _catch_up(self, model: str, names: Sequence[str]) -> dict[str, Entry]:
        """Bring boards that were away to the releases that they missed."""
        for name in names:
            entry = self._records.read(model).boards[name]
            if entry.state != "pending" or name not in self._boards:
                continue
            try:
                bundle = self.open(self._records.bundle(entry.bundle), model)
            except EdgePipelineError as error:
                self._say(f"{name}: cannot be caught up: {error}")
                continue
            self._note(bundle, name, self._deliver(name, bundle, False))
        self._records.tidy()
        record = self._records.read(model)
        return {name: record.boards[name] for name in names if name in record.boards}

    def _deliver(self, name: str, bundle: Bundle, older: bool) -> Outcome:
        return self._try(name, lambda: wait_for(self._station(name).deploy(bundle, older=older)), "deployed")

    def _try(self, name: str, action: Callable[[], str], good: Any) -> Outcome:
        try:
            return Outcome(good, action())
        except EdgePipelineError as error:
            away = any(isinstance(one, DeviceError) and one.trouble == "unreachable" for one in causes(error))
            return Outcome("pending" if away else "failed", str(error))

    def _note(self, bundle: Bundle, name: str, outcome: Outcome) -> None:
        model = bundle.manifest.model
        self._records.write(model, self._records.read(model).of(name, _entry(bundle, outcome)))
        self._told(name, outcome)

    def _told(self, name: str, outcome: Outcome) -> None:
        said = outcome.message.removeprefix(f"{name}: ")
        self._say(f"{name}: {outcome.state}{': ' + said if said else ''}")

    def _station(self, name: str) -> Station:
        return Station(name, self._boards[name], self._trusted)


def _rows(name: str, found: dict[str, Any] | str, records: Mapping[str, Record]) -> list[Row]:
    """Return the lines of one board: a model each, one line with the reason if it does not answer."""
    mine = {model: record.boards[name] for model, record in records.items() if name in record.boards}
    if isinstance(found, str):
        known = [Row(name, model, None, None, None, None, (found, _told_of(one))) for model, one in mine.items()]
        return known or [Row(name, None, None, None, None, None, (found,))]
    rows = []
    for model in sorted({*found, *mine}):
        now = (found.get(model) or {}).get("current") or {}
        damage = f"damaged: {now['damage']}" if now.get("damage") else ""
        entry = mine.get(model)
        told = _told_of(entry) if entry and (entry.state, entry.version) != ("deployed", now.get("version")) else ""
        if now or told:
            about = {key: now.get(key) for key in ("version", "target", "since", "health")}
            rows.append(Row(name, model, notes=tuple(one for one in (damage, told) if one), **about))
    return rows or [Row(name, None, None, None, None, None, ())]


def _told_of(entry: Entry) -> str:
    said = "" if entry.state in ("deployed", "waiting") else f": {entry.message}"
    return f"{'last known: ' if entry.state == 'deployed' else ''}version {entry.version} {entry.state}{said}"


def _entry(bundle: Bundle, outcome: Outcome) -> Entry:
    return Entry(outcome.state, bundle.manifest.version, bundle.digest, outcome.message, _now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
