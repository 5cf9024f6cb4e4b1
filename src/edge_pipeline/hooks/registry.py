"""Releases in MLflow's model registry: one version each, with the aliases `challenger` and `champion`.

A release is added by `challenge`, becomes what is shipped by `promote`, and gives way again by `roll_back`. Each of
these ends with one request to MLflow that moves an alias: a process that is killed before it has changed nothing that
counts, and the same command does the rest.
"""

import io
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import ReleaseError, StorageError
from edge_pipeline.core.files import disk_errors, sha256
from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.hooks.store import Store, tracking_uri
from edge_pipeline.pipelines.config import TrackingSpec

CHALLENGER, CHAMPION = "challenger", "champion"

FOLDER = "release"
"""Folder of the run's files that holds those of the release."""
BUNDLE, EVIDENCE, CARD, LINEAGE = "bundle.edge", "evidence.zip", "model_card.md", "lineage.json"

CONTENT = "content_hash"
"""Tag with the hash of all that a release consists of: releasing the same again finds it."""
_REPLACED = "replaced"
_LARGEST = 2**32
"""Bytes that the files of the evidence may have together."""


@dataclass(frozen=True)
class Release:
    """One version of a model in the registry.

    Attributes:
        model: name in models.yml.
        version: counted up from 1 by the registry.
        run_id: of the MLflow run that holds its files.
        created: in milliseconds since 1970.
        aliases: those that point to it.
        tags: facts about it, such as the hashes of its files.
    """

    model: str
    version: int
    run_id: str
    created: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


@dataclass(frozen=True)
class Draft:
    """A release to be added.

    Attributes:
        record: the run that holds its files, `BUNDLE` and `EVIDENCE` among them.
        tags: facts about it.
        card: the model card, in Markdown.
    """

    record: RunRecord
    tags: Mapping[str, str]
    card: str


class Registry:
    """The releases of a project.

    Raises:
        TrackingError: from every method, when MLflow does not answer or refuses.
    """

    def __init__(self, settings: TrackingSpec, root: Path) -> None:
        self._root, self._experiment = root, settings.experiment
        self._store = Store(tracking_uri(settings, root), settings.experiment, root)

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._store.uri

    def name(self, model: str) -> str:
        """Return the name of a model in the registry: the experiment's before its own, as servers are shared."""
        return f"{re.sub('[/:]', '-', self._experiment)}.{model}"

    def releases(self, model: str) -> list[Release]:
        """Return all releases of a model, the newest first."""
        with self._store.errors():
            found = self._store.client.search_model_versions(f"name = '{self.name(model)}'", max_results=1000)
            aliases = self._aliases(model) if found else {}
        made = [self._release(model, one, aliases) for one in found if CONTENT in one.tags]
        return sorted(made, key=lambda one: -one.version)

    def find(self, model: str, which: str) -> Release | None:
        """Return the release that an alias or a version number names; `None` where there is none."""
        return next((one for one in self.releases(model) if which in (str(one.version), *one.aliases)), None)

    def challenge(self, model: str, content: str, make: Callable[[int], Draft]) -> Release:
        """Add a release, or find the one of the same content, and let the alias `challenger` point to it.

        Args:
            model: which.
            content: hash of all that the release consists of, except its number.
            make: returns the release, given the number that the registry chose for it.
        """
        known = next((one for one in self.releases(model) if one.tags[CONTENT] == content), None)
        if known is None:
            known = self._add(model, content, make)
        self._point(model, CHALLENGER, known)
        return known

    def promote(self, release: Release, tags: Mapping[str, str], judged_against: Release | None) -> None:
        """Let the alias `champion` point to `release`; the release before it is remembered.

        Args:
            release: which.
            tags: facts about it that are known only now.
            judged_against: the champion that the gates compared it with.

        Raises:
            ReleaseError: the champion is another by now.
        """
        before = self.find(release.model, CHAMPION)
        versions = [one and one.version for one in (before, judged_against)]
        if versions[0] != versions[1]:
            raise ReleaseError(
                f"the champion of {release.model} changed from version {versions[1]} to {versions[0]} while {release} "
                "was judged; nothing was promoted. Run the command again: the gates then compare it with the new one."
            )
        if before and before.version == release.version:
            return
        self._tag(release, {**tags, _REPLACED: str(before.version) if before else ""})
        self._point(release.model, CHAMPION, release)

    def roll_back(self, model: str) -> tuple[Release, Release]:
        """Let the alias `champion` point to the release that the champion replaced.

        Returns:
            The release that was the champion, and the one that is now.

        Raises:
            ReleaseError: there is no champion, or it replaced none.
        """
        now = self.find(model, CHAMPION)
        if now is None:
            raise ReleaseError(f"{model} has no champion in {self.uri}: there is nothing to roll back")
        number = now.tags.get(_REPLACED)
        before = self.find(model, number) if number else None
        if before is None:
            raise ReleaseError(f"{now} is the first champion, or what it replaced was deleted: nothing to go back to")
        self._tag(now, {"rolled_back": "true"})
        self._point(model, CHAMPION, before)
        return now, before

    def bundle(self, release: Release) -> bytes:
        """Return the signed bundle of a release.

        Raises:
            StorageError: what MLflow has is not what was released.
        """
        return self._file(release, BUNDLE)

    def evidence(self, release: Release) -> Path:
        """Return a folder with the evidence of a release, laid out as the model's folder of reports.

        Raises:
            StorageError: what MLflow has is not what was released.
        """
        folder = self._root / "data" / "09_releases" / release.model / str(release.version)
        content = self._file(release, EVIDENCE)
        with disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                _unzip(content, Path(temporary) / "new", str(release))
                if folder.exists():
                    shutil.rmtree(folder)
                (Path(temporary) / "new").rename(folder)
        return folder

    def _file(self, release: Release, name: str) -> bytes:
        with self._store.errors(), tempfile.TemporaryDirectory() as folder:
            path = self._store.client.download_artifacts(release.run_id, f"{FOLDER}/{name}", folder)
            content = Path(path).read_bytes()
        if sha256(content) != release.tags.get(f"sha256.{name}"):
            raise StorageError(
                f"{release}: {name} in {self.uri} is not what was released (its hash differs); "
                "it cannot be used. Roll back, or release again."
            )
        return content

    def _add(self, model: str, content: str, make: Callable[[int], Draft]) -> Release:
        """Add a release; only its last tag makes it one, so that a half of it never counts."""
        from mlflow.exceptions import MlflowException

        name, client = self.name(model), self._store.client
        run_id = self._store.begin(f"{model}/release", {"model": model}, {"kind": "release"}, int(time.time() * 1000))
        with self._store.errors():
            try:
                client.create_registered_model(name, {"model": model})
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
            version = int(client.create_model_version(name, source, run_id).version)
        draft = make(version)
        self._store.complete(replace(draft.record, run_id=run_id))
        prefix = f"{FOLDER}/"
        hashes = {f"sha256.{key.removeprefix(prefix)}": sha256(file) for key, file in draft.record.files.items()}
        with self._store.errors():
            client.update_model_version(name, str(version), draft.card)
            for key, value in {**draft.tags, **hashes, CONTENT: content}.items():
                client.set_model_version_tag(name, str(version), key, value)
        found = self.find(model, str(version))
        assert found
        return found

    def _point(self, model: str, alias: str, release: Release) -> None:
        with self._store.errors():
            self._store.client.set_registered_model_alias(self.name(model), alias, str(release.version))

    def _tag(self, release: Release, tags: Mapping[str, str]) -> None:
        with self._store.errors():
            for key, value in tags.items():
                self._store.client.set_model_version_tag(self.name(release.model), str(release.version), key, value)

    def _aliases(self, model: str) -> Mapping[str, str]:
        """Return the version that each alias points to."""
        return {
            key: str(value) for key, value in self._store.client.get_registered_model(self.name(model)).aliases.items()
        }

    def _release(self, model: str, found: Any, aliases: Mapping[str, str]) -> Release:
        pointing = tuple(sorted(key for key, value in aliases.items() if value == str(found.version)))
        return Release(model, int(found.version), found.run_id, found.creation_timestamp, pointing, dict(found.tags))


def zipped(folder: Path) -> bytes:
    """Return all files below `folder` as a ZIP archive; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            archive.writestr(
                zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()


def _unzip(content: bytes, folder: Path, owner: str) -> None:
    """Write the files of an archive below `folder`, none outside it.

    Raises:
        StorageError: it is no archive, or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(one.file_size for one in archive.infolist()) > _LARGEST:
                raise StorageError(f"{owner}: the evidence is larger than {_LARGEST} bytes")
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise StorageError(f"{owner}: the evidence is no ZIP archive") from error
