"""A release as one signed file, and the way to read one that anybody may have made.

The manifest names hash and size of every file, and the signature is that of the manifest; nothing else is in the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.archive import archive, unarchive
from edge_pipeline.fleet.content import Content, DeviceClass, Golden, TargetContent
from edge_pipeline.fleet.errors import BundleError
from edge_pipeline.fleet.keys import PrivateKey, PublicKey
from edge_pipeline.fleet.sbom import sbom

__all__ = ["Bundle", "Content", "DeviceClass", "Golden", "Manifest", "TargetContent", "pack", "read_bundle"]

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
CARD, SBOM = "card.md", "sbom.cdx.json"
MANIFEST_MB = 16
"""Most that a manifest may have, in 10^6 bytes; that of a thousand files has less than one."""

_NAME = r"[A-Za-z][A-Za-z0-9_]{0,99}"
_SLUG = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Part):
    """A file of a bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class TargetEntry(_Part):
    """What the manifest tells of one artifact; `model` is the file that its engine opens."""

    target: str
    precision: str
    runtime: str
    model: str = Field(pattern=rf"^{_SLUG}$")
    fits: DeviceClass
    artifact: str
    tolerance_db: float = Field(allow_inf_nan=False)
    lineage: Mapping[str, str]
    metrics: Mapping[str, float]


class Manifest(_Part):
    """The signed part of a bundle; it names hash and size of every other file."""

    format: Literal[1] = 1
    project: str = Field(min_length=1, max_length=200)
    model: str = Field(pattern=rf"^{_NAME}$")
    version: int = Field(ge=1)
    created: str
    files: Mapping[str, File]
    targets: Mapping[str, TargetEntry] = Field(min_length=1)


class _Signature(_Part):
    key: str
    signature: str


@dataclass(frozen=True)
class Bundle:
    """A bundle whose signature and hashes were checked.

    Attributes:
        manifest: what it tells of itself.
        files: all that it holds, by name.
        key: that signed it.
        data: the bundle itself.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    key: PublicKey
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle."""
        return sha256(self.data)

    @property
    def name(self) -> str:
        """Model and version, for messages."""
        return f"{self.manifest.model} {self.manifest.version}"

    def expect(self, *, project: str | None = None, model: str | None = None, newer_than: int | None = None) -> None:
        """Refuse a bundle of another project or model, or one that is older than version `newer_than`.

        Raises:
            BundleError: it is.
        """
        if project is not None and self.manifest.project != project:
            raise BundleError(
                f"the bundle is foreign: it is of the project '{self.manifest.project}', this is '{project}'"
            )
        if model is not None and self.manifest.model != model:
            raise BundleError(
                f"the bundle is foreign: it holds the model '{self.manifest.model}', '{model}' was asked for"
            )
        if newer_than is not None and self.manifest.version < newer_than:
            raise BundleError(
                f"the bundle is a downgrade: it has version {self.manifest.version} of '{self.manifest.model}', "
                f"version {newer_than} was deployed already; `kedro edge fleet rollback {self.manifest.model}` goes "
                "back on purpose"
            )

    def slug_for(self, name: str, device: DeviceSpec) -> str | None:
        """Return which of its targets is closest to a device; `None` if none is for it."""
        fits = {slug: one.fits.fit(name, device) for slug, one in self.manifest.targets.items()}
        best = max(sorted(fits), key=lambda slug: fits[slug])
        return best if fits[best] else None

    def parcel(self, slug: str) -> bytes:
        """Return what a board needs to check and run one target, as an archive: nothing of the other targets."""
        prefix = f"targets/{slug}/"
        mine = {name: data for name, data in self.files.items() if name.startswith(prefix)}
        return archive({**mine, **{name: self.files[name] for name in (MANIFEST, SIGNATURE)}})


def pack(content: Content, key: PrivateKey) -> bytes:
    """Return a release as one file, signed by `key`; equal contents and keys give equal bytes.

    Raises:
        BundleError: the content is incomplete.
    """
    files: dict[str, bytes] = {CARD: content.card.encode(), SBOM: _readable(sbom(content))}
    targets = {}
    for slug, one in content.targets.items():
        files |= {f"targets/{slug}/{name}": data for name, data in _files(one).items()}
        targets[slug] = {
            "target": one.target,
            "precision": one.precision,
            "runtime": one.fits.runtime,
            "model": one.artifact.details.get("model"),
            "fits": asdict(one.fits),
            "artifact": one.artifact.hash,
            "tolerance_db": one.golden.tolerance_db,
            "lineage": dict(one.lineage),
            "metrics": dict(one.metrics),
        }
    described = {
        "project": content.project,
        "model": content.model,
        "version": content.version,
        "created": content.created,
        "files": {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in files.items()},
        "targets": targets,
    }
    try:
        manifest = json_bytes(Manifest.model_validate(described).model_dump(mode="json"))
    except (ValidationError, ValueError) as error:
        raise BundleError(f"no bundle can be made of '{content.model}': {_told(error)}") from error
    signature = {"key": key.public.id, "signature": key.sign(manifest).hex()}
    return archive({**files, MANIFEST: manifest, SIGNATURE: json_bytes(signature)})


def read_bundle(data: bytes, trusted: Sequence[PublicKey]) -> Bundle:
    """Return a bundle whose signature is that of a trusted key, and whose every file is the one that was signed.

    Raises:
        BundleError: it is truncated, damaged, altered, not signed by a trusted key, or no bundle.
    """
    try:
        files = unarchive(data)
        manifest, key = signed(files.get(MANIFEST, b""), files.get(SIGNATURE, b""), trusted)
        rest = {name: one for name, one in files.items() if name not in (MANIFEST, SIGNATURE)}
        _check_files(manifest, rest)
    except BundleError as error:
        raise BundleError(f"the bundle is refused: {error}") from error
    return Bundle(manifest, files, key, data)


def signed(manifest: bytes, signature: bytes, trusted: Sequence[PublicKey]) -> tuple[Manifest, PublicKey]:
    """Return a manifest that a trusted key signed, and the key; nothing of it is looked at before.

    Raises:
        BundleError: it is not signed by a trusted key, or no manifest.
    """
    if not manifest or not signature:
        raise BundleError("it has no manifest or no signature; it is no bundle, or not all of one")
    if len(manifest) > MANIFEST_MB * 10**6:
        raise BundleError(f"its manifest has more than {MANIFEST_MB} MB")
    try:
        sign = _Signature.model_validate_json(signature)
        raw = bytes.fromhex(sign.signature)
    except ValueError as error:
        raise BundleError("its signature cannot be read; it was altered") from error
    key = next((one for one in trusted if one.id == sign.key), None)
    if key is None:
        known = ", ".join(one.id for one in trusted) or "none at all"
        raise BundleError(
            f"it is foreign, signed by the key {sign.key[:40]!r}, which is not trusted here (trusted: {known}). If you "
            "are sure of where it comes from, put that key's .pub file into conf/local/trusted_keys"
        )
    if not key.verifies(raw, manifest):
        raise BundleError("it was tampered with: the signature is not that of its manifest")
    try:
        return Manifest.model_validate_json(manifest), key
    except ValidationError as error:
        raise BundleError(f"its manifest is of another kind than this version reads: {_told(error)}") from error


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if odd := sorted(manifest.files.keys() ^ files.keys()):
        raise BundleError(f"it was tampered with: the file {odd[0]!r} is missing or not signed")
    for name, data in files.items():
        wanted = manifest.files[name]
        if len(data) != wanted.bytes or sha256(data) != wanted.sha256:
            raise BundleError(f"it was tampered with: the file {name!r} is not the one that was signed")
    for slug, one in manifest.targets.items():
        needed = (f"artifact/{one.model}", "golden/inputs.npz", "golden/outputs.npz")
        if lacking := [name for name in needed if f"targets/{slug}/{name}" not in files]:
            raise BundleError(f"it is incomplete: the target {slug} has no {', '.join(lacking)}")


def _files(one: TargetContent) -> dict[str, bytes]:
    """Return the files of one target, by name below its folder."""
    return {
        **{f"artifact/{name}": data for name, data in one.artifact.files.items()},
        "artifact.json": _readable(one.artifact.manifest()),
        "interface.json": _readable(one.interface),
        "labels.json": _readable(list(one.labels)),
        "golden/inputs.npz": one.golden.inputs,
        "golden/outputs.npz": one.golden.outputs,
    }


def _readable(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
    return str(error)
