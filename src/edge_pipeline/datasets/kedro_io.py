"""Kedro datasets that never show a half-written or altered file to a stage."""

import importlib
import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from pydantic import TypeAdapter, ValidationError

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import json_bytes, sha256, write_atomically
from edge_pipeline.core.types import Artifact, Failure, TensorSpec

MANIFEST = "manifest.json"
AGAIN = "`kedro run --only-missing-outputs` makes it anew."


class _StageDataset(AbstractDataset[Any, Any]):
    """Shared by both kinds: a failed stage leaves `<name>.failed.json` instead of a result.

    `optional` results load as `None` when they were never made.
    """

    def __init__(self, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    @property
    def _failure_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.failed.json")

    def save(self, data: Any) -> None:
        """Replace what is there. A `Failure` removes the old result: it is never taken for the new one."""
        if isinstance(data, Failure):
            self.discard()
            write_atomically(self._failure_path, json_bytes(TypeAdapter(Failure).dump_python(data)))
            return
        self._failure_path.unlink(missing_ok=True)
        self._write(data)

    def load(self) -> Any:
        """Return the result, the `Failure` in its place, or `None` if it is optional and absent."""
        if self._exists():
            return self._read()
        if self._failure_path.is_file():
            try:
                return TypeAdapter(Failure).validate_json(self._failure_path.read_bytes())
            except ValidationError as error:
                raise StorageError(f"{self._failure_path} is damaged ({error}). {AGAIN}") from error
        if self._optional:
            return None
        raise StorageError(f"{self._path} does not exist: the stage that makes it has not run. {AGAIN}")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}

    def discard(self) -> None:
        """Delete the result, if there is one."""
        raise NotImplementedError

    def _write(self, data: Any) -> None:
        raise NotImplementedError

    def _read(self) -> Any:
        raise NotImplementedError


class RecordDataset(_StageDataset):
    """One frozen dataclass as JSON with the hash of its content, for example a `Profile`."""

    def __init__(
        self, filepath: str, record: str, optional: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath, optional, metadata)
        self._record = record

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        module, _, name = self._record.rpartition(".")
        return TypeAdapter(getattr(importlib.import_module(module), name))

    def _exists(self) -> bool:
        return self._path.is_file()

    def discard(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def _write(self, data: Any) -> None:
        body = self._adapter.dump_python(data, mode="json")
        write_atomically(self._path, json_bytes({"sha256": sha256(json_bytes(body)), "record": body}))

    def _read(self) -> Any:
        try:
            content = json.loads(self._path.read_bytes())
            if sha256(json_bytes(content["record"])) != content["sha256"]:
                raise ValueError("its content does not match its hash")
            return self._adapter.validate_python(content["record"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise StorageError(f"{self._path} is damaged ({error}). {AGAIN}") from error


class ArtifactDataset(_StageDataset):
    """A folder of files with a manifest, which is removed first and written last."""

    def _exists(self) -> bool:
        return (self._path / MANIFEST).is_file()

    def discard(self) -> None:
        """Delete the folder, its manifest first."""
        (self._path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self._path, ignore_errors=True)

    def _write(self, data: Artifact) -> None:
        (self._path / MANIFEST).unlink(missing_ok=True)
        for name, content in data.files.items():
            write_atomically(self._path / name, content)
        for path in self._path.iterdir() if self._path.is_dir() else ():
            if path.is_file() and path.name not in data.files:
                path.unlink()
        manifest = {**data.manifest(), "sha256": data.hash}
        write_atomically(self._path / MANIFEST, json.dumps(manifest, indent=2, allow_nan=False).encode())

    def _read(self) -> Artifact:
        try:
            manifest = json.loads((self._path / MANIFEST).read_bytes())
            files = {name: (self._path / name).read_bytes() for name in manifest["files"]}
            for name, content in files.items():
                if sha256(content) != manifest["files"][name]["sha256"]:
                    raise ValueError(f"{name} does not match its hash in the manifest")
            inputs, outputs = (
                tuple(TensorSpec(t["name"], tuple(t["shape"]), t["dtype"]) for t in manifest[side])
                for side in ("inputs", "outputs")
            )
            artifact = Artifact(
                manifest["kind"], files, manifest["parents"], inputs, outputs, manifest["tools"], manifest["details"]
            )
            if artifact.hash != manifest["sha256"]:
                raise ValueError(f"{MANIFEST} does not match its own hash")
            return artifact
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StorageError(f"{self._path} is damaged ({error}). {AGAIN}") from error


class FolderDataset(AbstractDataset[Path, Path]):
    """Hands a stage the folder that it may keep files of its own in, such as checkpoints."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder's path; the stage creates it when it needs it."""
        return self._path

    def save(self, data: Path) -> None:
        """Never called: a folder is an input only."""
        raise StorageError(f"{self._path} is a working folder, not an output")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
