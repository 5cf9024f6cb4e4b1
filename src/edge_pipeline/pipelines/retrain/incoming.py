"""New samples: which of those that arrived are new and good, and how they are taken in."""

import hashlib
import io
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_pipeline.core.errors import DatasetError, RetrainError
from edge_pipeline.core.files import disk_errors, json_bytes, sha256, write_atomically
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import files
from edge_pipeline.datasets.base import Samples
from edge_pipeline.datasets.joined import BATCH, batches
from edge_pipeline.datasets.pictures import load_picture, read_picture
from edge_pipeline.pipelines.retrain.formats import Candidate, Format, Head, Kept
from edge_pipeline.pipelines.retrain.schedule import NewDataSpec

LARGEST = 2**28
"""Bytes of one picture file; more is refused before it is decoded."""
_REASON = "reason.json"


@dataclass(frozen=True)
class Arrived:
    """A new, good sample. `digest` is the SHA-256 of the picture's file, `label` what `Format.label` made of it."""

    name: str
    place: str
    digest: str
    label: str


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used, and why; `digest` is empty if it could not even be read."""

    name: str
    place: str
    digest: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What lies in the watched folder: new and good, broken, and how many were known already."""

    good: tuple[Arrived, ...]
    broken: tuple[Broken, ...]
    known: int

    @property
    def good_fraction(self) -> float:
        """Share of usable files among the new ones; 1 without any."""
        return len(self.good) / max(1, len(self.good) + len(self.broken)) if self.broken else 1.0

    def require(self, least: float) -> None:
        """Refuse a delivery of which too much is broken.

        Raises:
            RetrainError: names the first of the broken files.
        """
        if self.good_fraction < least:
            shown = "".join(f"\n  - {one.name}: {one.reason}" for one in self.broken[:5])
            more = f"\n  and {len(self.broken) - 5} more" if len(self.broken) > 5 else ""
            raise RetrainError(
                f"only {len(self.good)} of {len(self.good) + len(self.broken)} new files can be used "
                f"({self.good_fraction:.0%}, at least {least:.0%} are needed: `new_data.min_good_fraction`); nothing "
                f"was taken in or trained. Repair or remove them and run the command again:{shown}{more}"
            )


class NewSamples:
    """The good new samples as pictures alone, for statistics and predictions."""

    def __init__(self, arrived: Sequence[Arrived], channels: int) -> None:
        self._arrived, self._channels = arrived, channels

    def __len__(self) -> int:
        return len(self._arrived)

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        return self._arrived[index].place

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: it cannot be read any more.
        """
        return load_picture(self._arrived[index].place, self._channels)


@dataclass(frozen=True)
class Intake:
    """The folders of one model's new samples: `incoming` for batches, `quarantine` for broken files."""

    model: str
    folder: Path
    format: Format
    head: Head
    channels: int

    @property
    def incoming(self) -> Path:
        """Folder of the batches."""
        return self.folder / "incoming"

    @property
    def quarantine(self) -> Path:
        """Folder of the broken files."""
        return self.folder / "quarantine"

    def taken(self) -> dict[str, int]:
        """Return the name of each batch and its number of samples."""
        return {folder.name: len(content["samples"]) for folder, content in batches(self.incoming)}

    def of_run(self, run: str) -> Mapping[str, object] | None:
        """Return what a report says of the samples that a training took in; `None` if it took none yet."""
        for folder, content in batches(self.incoming):
            if content.get("run") == run:
                aside = [json.loads(path.read_bytes()) for path in sorted(self.quarantine.glob(f"*/{_REASON}"))]
                broken = [{"file": one["file"], "reason": one["reason"]} for one in aside if one["run"] == run]
                return {"good": len(content["samples"]), "known": 0, "batch": folder.name, "broken": broken}
        return None

    def inspect(self, where: NewDataSpec, own: Samples) -> Found:
        """Check every file that arrived; nothing is written. `own` is the dataset without what it took in.

        Pictures that the dataset has (in its test part too) or that were taken in before are known, and what is in
        quarantine for the same reason.

        Raises:
            DatasetError: the folder, or the file of labels, is not there or unreadable as a whole.
        """
        known = set(_digests(own))
        for _, content in batches(self.incoming):
            known |= set(content["samples"])
        good: dict[str, Arrived] = {}
        broken: list[Broken] = []
        seen = 0
        for candidate in self.format.candidates(where, self.head):
            one = self._checked(candidate)
            if one.digest in known:
                seen += 1
            elif isinstance(one, Broken):
                if (self._aside(one) / _REASON).is_file():
                    seen += 1
                else:
                    broken.append(one)
            elif one.digest not in good:
                good[one.digest] = one
            elif good[one.digest].label == one.label:
                seen += 1
            else:
                other = good[one.digest].name
                broken.append(
                    Broken(one.name, one.place, one.digest, f"it is the picture of {other}, labelled otherwise")
                )
        twice = {one.digest for one in broken if one.digest in good}  # two labels of one picture: neither is trusted
        broken += [
            Broken(one.name, one.place, one.digest, "the same picture arrived with another label")
            for one in good.values()
            if one.digest in twice
        ]
        return Found(tuple(one for one in good.values() if one.digest not in twice), tuple(broken), seen)

    def take(self, found: Found, run: str) -> str | None:
        """Copy the good samples into a new batch, the broken files into quarantine; the source stays as it is.

        Returns:
            The batch's name; `None` if there was nothing good.

        Raises:
            StorageError: the disk is full.
            RetrainError: a file changed since it was checked.
        """
        for one in found.broken:
            self._set_aside(one, run)
        if not found.good:
            return None
        name = sha256(json_bytes(sorted((one.digest, one.label) for one in found.good)))[:16]
        folder = self.incoming / name
        if (folder / BATCH).is_file():
            return name
        with disk_errors(self.incoming):
            self.incoming.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".taking.*"):
                shutil.rmtree(left, ignore_errors=True)
        staged = self.folder / f".taking.{secrets.token_hex(8)}"
        try:
            kept = [Kept(one.digest, PurePosixPath(one.place).suffix.lower(), one.label) for one in found.good]
            for sample, arrived in zip(kept, found.good, strict=True):
                self.format.put(staged, sample, _unchanged(arrived))
            self.format.finish(staged, kept, self.head)
            samples = {one.digest: one.name for one in found.good}
            description = {"format": self.format.name, "model": self.model, "run": run, "samples": samples}
            write_atomically(staged / BATCH, json_bytes(description))
            with disk_errors(folder):
                shutil.rmtree(folder, ignore_errors=True)  # a folder without description is a leftover
                staged.rename(folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return name

    def _checked(self, candidate: Candidate) -> Arrived | Broken:
        name, place, digest = candidate.name, candidate.place, ""
        try:
            content = _content(place) if place else b""
            digest = hashlib.sha256(content).hexdigest() if place else ""
            size = (0, 0)
            if place:
                size = read_picture(io.BytesIO(content), name, self.channels).shape[:2]
            return Arrived(name, place, digest, self.format.label(candidate.label, self.head, size))
        except (ValueError, DatasetError, OSError) as error:
            said = re.sub(r" <\S+ object at 0x\w+>", "", str(error))  # an address in memory differs every time
            reason = re.sub(r"\s+", " ", said).strip()[:300] or type(error).__name__
            return Broken(name, place, digest, reason)

    def _aside(self, one: Broken) -> Path:
        return self.quarantine / sha256(json_bytes([one.digest, one.reason]))[:16]

    def _set_aside(self, one: Broken, run: str) -> None:
        if not one.digest:
            return
        folder = self._aside(one)
        if (folder / _REASON).is_file():
            return
        name = re.sub(r"[^\w.-]", "_", PurePosixPath(one.name).name)[-100:] or "file"
        try:
            content = _content(one.place)
        except (OSError, DatasetError):
            return  # gone meanwhile; the report names it
        write_atomically(folder / name, content)
        description = {"file": one.name, "source": one.place, "reason": one.reason, "run": run}
        write_atomically(folder / _REASON, json_bytes(description))


def _digests(own: Samples) -> Iterable[str]:
    """Return the hash of every picture file of a dataset, if it has files."""
    named = getattr(own, "name", None)
    if named is None:
        return ()
    return files.each(_digest, [named(index) for index in range(len(own))])


def _digest(place: str) -> str:
    try:
        return hashlib.sha256(_content(place)).hexdigest()
    except OSError as error:
        raise DatasetError(f"cannot read {place}: {error}. Repair or remove the file.") from error


def _unchanged(one: Arrived) -> bytes:
    content = _content(one.place)
    if hashlib.sha256(content).hexdigest() != one.digest:
        raise RetrainError(f"the file {one.place} changed while it was taken in. Run the same command again.")
    return content


def _content(place: str) -> bytes:
    with files.open_file(place) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"the file is larger than {LARGEST // 2**20} MiB")
    return content


def summary(found: Found, batch: str | None) -> Mapping[str, object]:
    """Return what a report says of new samples."""
    return {
        "good": len(found.good),
        "known": found.known,
        "batch": batch,
        "broken": [{"file": one.name, "reason": one.reason} for one in found.broken],
    }
