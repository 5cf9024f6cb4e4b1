"""Run records that MLflow did not take, kept on disk until they are sent again."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import json_bytes, sha256, write_atomically
from edge_pipeline.hooks.records import RunRecord

_RECORD = "record.json"


def folder(root: Path) -> Path:
    """Return the outbox of the project at `root`."""
    return root / "data" / "08_reporting" / "mlflow_outbox"


def put(root: Path, record: RunRecord) -> None:
    """Keep `record`; its description is written last, so that half a record is never read."""
    content = {key: value for key, value in asdict(record).items() if key != "files"}
    content["files"] = {name: sha256(data) for name, data in record.files.items()}
    place = folder(root) / sha256(json_bytes(content))[:16]
    for data in record.files.values():
        write_atomically(place / sha256(data), data)
    write_atomically(place / _RECORD, json_bytes(content))


def waiting(root: Path) -> Iterator[tuple[Path, RunRecord]]:
    """Yield the place and content of every record kept, the oldest first."""
    places = [path.parent for path in folder(root).glob(f"*/{_RECORD}")]
    for place in sorted(places, key=lambda p: (p / _RECORD).stat().st_mtime_ns):
        try:
            content = json.loads((place / _RECORD).read_bytes())
            content["files"] = {name: (place / digest).read_bytes() for name, digest in content["files"].items()}
            content["metrics"] = tuple((key, value, step) for key, value, step in content["metrics"])
            yield place, RunRecord(**content)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise StorageError(f"the kept record {place} is damaged ({error}); delete the folder") from error


def remove(place: Path) -> None:
    """Forget a record that was sent."""
    (place / _RECORD).unlink()
    shutil.rmtree(place, ignore_errors=True)
