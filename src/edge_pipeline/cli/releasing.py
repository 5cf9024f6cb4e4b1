"""What the commands that release and promote share."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_pipeline.core.errors import ReleaseError
from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.core.types import Profile, Validation

if TYPE_CHECKING:
    from edge_pipeline.cli.measured import Measured
    from edge_pipeline.hooks.registry import Draft, Registry, Release
    from edge_pipeline.pipelines.compare.results import TargetResults
    from edge_pipeline.pipelines.gate.judge import Judgement


@dataclass(frozen=True)
class Place:
    """A model, what was measured of it, and the registry of its releases."""

    now: "Measured"
    registry: "Registry"
    name: str
    conf: Path

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.now.model


@contextlib.contextmanager
def workplace(metadata: Any, env: str | None, model: str, *, alone: bool = True) -> Iterator[Place]:
    """Return what a command works with; if `alone`, no other run or release of the project works meanwhile.

    Raises:
        ClickException: there is no such model.
        ProjectBusyError: another run or release is at work.
        TrackingError: MLflow does not answer.
    """
    from edge_pipeline.cli.bundle import conf_of
    from edge_pipeline.cli.measured import measured
    from edge_pipeline.hooks.lock import ProjectLock
    from edge_pipeline.hooks.registry import Registry

    lock = ProjectLock(Path(metadata.project_path))
    if alone:
        lock.take()
    try:
        now = measured(metadata, model, env)
        registry = Registry(now.project.tracking, now.project.root)
        yield Place(now, registry, metadata.project_name, conf_of(metadata))
    finally:
        if alone:
            lock.release()


def chosen(place: Place, which: str) -> "Release":
    """Return the release that an alias or a version names.

    Raises:
        ReleaseError: there is none.
    """
    release = place.registry.find(place.model, which)
    if release is None:
        known = ", ".join(str(one.version) for one in place.registry.releases(place.model)) or "none"
        raise ReleaseError(
            f"{place.model} has no release '{which}' in {place.registry.uri} (versions: {known}); "
            f"`kedro edge release {place.model}` makes one"
        )
    return release


def released(place: Place, names: Sequence[str]) -> "Release":
    """Judge what was measured, and release it if it passes.

    Args:
        place: where.
        names: targets to release, without the model's name; all that pass, if empty.

    Raises:
        ClickException: the gate does not pass, or there is no such target.
    """
    from edge_pipeline.fleet.keys import private_key
    from edge_pipeline.hooks.registry import zipped
    from edge_pipeline.pipelines.compare.evidence import write_evidence

    private_key(place.conf)  # told before anything is done
    judgement = _judged(place, place.now.found)
    fit = _fit(place, judgement, names)
    with tempfile.TemporaryDirectory() as folder:
        write_evidence(place.now.found, Path(folder))
        evidence = zipped(Path(folder))
    content = sha256(evidence + "\n".join(one.target.name for one in fit).encode())
    before = {one.version for one in place.registry.releases(place.model)}
    release = place.registry.challenge(
        place.model, content, lambda version: _draft(place, version, judgement, fit, evidence)
    )
    if release.version in before:
        click.echo(f"This was released before: {release} is the challenger.")
    else:
        click.echo(f"Released {release}, the challenger: {', '.join(_short(one) for one in fit)}.")
    click.echo(f"MLflow: model {place.registry.name(place.model)} in {place.registry.uri}")
    return release


def promoted(place: Place, release: "Release") -> None:
    """Judge the figures of a release, and make it the champion if they pass.

    Raises:
        ClickException: the gate does not pass.
        ReleaseError: the champion changed meanwhile.
    """
    from edge_pipeline.hooks.registry import CHAMPION
    from edge_pipeline.pipelines.compare.evidence import read_evidence

    before = place.registry.find(place.model, CHAMPION)
    if before and before.version == release.version:
        click.echo(f"{release} is the champion already.")
        return
    bundle = _bundle(place, release)
    judgement = _judged(place, read_evidence(place.registry.evidence(release), place.model))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    place.registry.promote(release, {"promoted": when, "gates": _outcome(judgement)}, before)
    instead = f" instead of version {before.version}" if before else ", the first"
    click.echo(f"{release} is the champion now{instead}; its bundle holds {len(bundle.manifest.targets)} targets.")


def _bundle(place: Place, release: "Release") -> Any:
    """Return the bundle of a release: what cannot be deployed is not promoted."""
    from edge_pipeline.fleet.bundle import read_bundle
    from edge_pipeline.fleet.keys import trusted_keys

    found = read_bundle(place.registry.bundle(release), trusted_keys(place.conf))
    found.expect(project=place.name, model=place.model)
    return found


def _judged(place: Place, found: "Sequence[TargetResults]") -> "Judgement":
    """Judge results against the champion, and print what came of it.

    Raises:
        ClickException: a rule is broken.
    """
    from edge_pipeline.cli.gate import broken_rules, print_judgement
    from edge_pipeline.cli.measured import earlier
    from edge_pipeline.pipelines.gate.judge import judge

    champion = earlier(place.now.project, place.model, "champion")
    judgement = judge(
        place.model,
        place.now.project,
        found,
        champion.found if champion else [],
        champion.release if champion else None,
    )
    print_judgement(judgement)
    if not judgement.passed:
        broken = [f"\n  - {one}" for one in broken_rules(judgement)]
        count = "1 rule is" if len(broken) == 1 else f"{len(broken)} rules are"
        raise click.ClickException(
            f"{place.model} does not pass its gate, so nothing was changed; {count} broken:{''.join(broken)}"
        )
    return judgement


def _fit(place: Place, judgement: "Judgement", names: Sequence[str]) -> "list[TargetResults]":
    """Return the targets to release: of the configured ones those that meet every rule.

    Raises:
        ReleaseError: there is no such target, or it does not meet its rules.
    """
    from edge_pipeline.core.errors import suggest

    refused = {one.target for one in judgement.verdicts if one.outcome in ("broken", "tolerated")}
    judged = {one.target for one in judgement.verdicts} - refused
    fit = {_short(one): one for one in place.now.found if one.target.name in judged}
    for name in names:
        if name not in fit:
            raise ReleaseError(
                f"the target '{name}' of {place.model} cannot be released: it is not configured, was not judged, or "
                f"does not meet its rules; {suggest(name, fit)}"
            )
    return [one for name, one in fit.items() if not names or name in names]


def _draft(
    place: Place, version: int, judgement: "Judgement", fit: "Sequence[TargetResults]", evidence: bytes
) -> "Draft":
    """Return the release: its card, its signed bundle, and what was measured."""
    from edge_pipeline.fleet.bundle import pack
    from edge_pipeline.fleet.keys import private_key
    from edge_pipeline.hooks import registry
    from edge_pipeline.hooks.group import run_group
    from edge_pipeline.hooks.records import RunRecord, shared_tags
    from edge_pipeline.pipelines.compare.table import comparison_table
    from edge_pipeline.pipelines.gate.junit import described
    from edge_pipeline.pipelines.release.card import model_card
    from edge_pipeline.pipelines.release.gather import gather

    project, model, now = place.now.project, place.model, datetime.now(UTC)
    names = [one.target.name for one in fit]
    rows = [
        row for row in comparison_table(place.now.found, place.now.spec).to_dict("records") if row["target"] in names
    ]
    lineages = {one.target.name: _lineage(one) for one in fit}
    rules = [(f"{one.target}: {one.rule}", described(one), one.outcome) for one in judgement.verdicts]
    weights = place.now.catalog.load(f"{model}.weights")
    card = model_card(model, place.now.spec, weights, rows, lineages, rules)
    content = gather(
        place.now.catalog,
        project,
        model,
        [one.target for one in fit],
        name=place.name,
        version=version,
        created=now.isoformat(timespec="seconds"),
        card=card,
    )
    files = {
        registry.BUNDLE: pack(content, private_key(place.conf)),
        registry.EVIDENCE: evidence,
        registry.CARD: card.encode(),
        registry.LINEAGE: json_bytes(lineages),
    }
    group = run_group()
    tags = {**shared_tags(project.root, group), "kind": "release", "model": model, "weights_hash": weights.hash}
    ended = int(time.time() * 1000)
    record = RunRecord(
        f"{model}/release",
        project.tracking.experiment,
        "FINISHED",
        ended,
        ended,
        {"model": model},
        tags,
        files={f"{registry.FOLDER}/{name}": content for name, content in files.items()},
    )
    described_as = {
        "gates": _outcome(judgement),
        "targets": ", ".join(map(_short, fit)),
        "dataset_hash": weights.parents["dataset"],
        "weights_hash": weights.hash,
        "lineage_hash": sha256(files[registry.LINEAGE]),
    }
    return registry.Draft(record, described_as, card)


def _lineage(one: "TargetResults") -> dict[str, str]:
    """Return the hashes of all that a target was made from, down to what was measured of it."""
    found: dict[str, str] = {}
    for result in one.results:
        if isinstance(result, Profile | Validation):
            measured = json.dumps(asdict(result), sort_keys=True).encode()
            found |= {**result.lineage, type(result).__name__.lower(): sha256(measured)}
    return found


def _outcome(judgement: "Judgement") -> str:
    against = f"version {judgement.champion}" if judgement.champion is not None else "no champion"
    return f"passed, {len(judgement.verdicts)} rules, against {against}"


def _short(one: "TargetResults") -> str:
    return one.target.name.partition("@")[2]
