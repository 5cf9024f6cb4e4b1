"""The weights that a release was made from: on disk while they are the last trained, in MLflow for ever."""

import json
import tempfile
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import ReleaseError, StorageError
from edge_pipeline.core.files import json_bytes, sha256, write_atomically
from edge_pipeline.core.types import Artifact
from edge_pipeline.hooks.registry import Release
from edge_pipeline.hooks.store import Store
from edge_pipeline.pipelines.retrain.watch import loaded

WEIGHTS = "weights.pt"
LARGEST = 2**34
"""Bytes of weights that are fetched."""


def weights_of(release: Release, catalog: Any, store: Store, root: Path) -> str | None:
    """Return a file with the weights of a release, relative to the project's folder.

    `None` if its network was not trained. The content is checked against the hash that the release names.

    Raises:
        ReleaseError: they are nowhere any more.
        StorageError: what MLflow has is not what was released.
        TrackingError: MLflow does not answer.
    """
    digest = release.tags.get("weights_hash", "")
    last = loaded(catalog, f"{release.model}.weights", Artifact)
    if last is not None and last.hash == digest:
        if WEIGHTS not in last.files:
            return None
        content = last.files[WEIGHTS]
    else:
        content = _kept(release, digest, store)
    path = Path("data/06_models") / release.model / "champion" / f"{digest[:16]}.pt"
    if not (root / path).is_file() or sha256((root / path).read_bytes()) != sha256(content):
        write_atomically(root / path, content)
    return str(path)


def _kept(release: Release, digest: str, store: Store) -> bytes:
    """Return the weights that the MLflow run of their training keeps."""
    with store.errors():
        named = f"tags.kind = 'training' and tags.weights_hash = '{digest}'"
        ids = [one.experiment_id for one in store.client.search_experiments()]
        runs = store.client.search_runs(ids, filter_string=named, max_results=10) if digest.isalnum() else []
    for run in runs:
        with store.errors():
            sizes = {one.path: one.file_size or 0 for one in store.client.list_artifacts(run.info.run_id, "weights")}
            names = ("weights/manifest.json", f"weights/{WEIGHTS}")
            if not all(name in sizes and sizes[name] <= LARGEST for name in names):
                continue
            with tempfile.TemporaryDirectory() as folder:
                manifest, content = (
                    Path(store.client.download_artifacts(run.info.run_id, name, folder)).read_bytes() for name in names
                )
        _check(release, digest, manifest, content, store.uri)
        return content
    raise ReleaseError(
        f"the weights of the champion, {release}, are no longer on disk and not in MLflow at {store.uri}: no training "
        "can begin from them. Bring back its run, or begin from what the parameters say with --from-scratch."
    )


def _check(release: Release, digest: str, manifest: bytes, content: bytes, uri: str) -> None:
    try:
        described = json.loads(manifest)
        right = sha256(json_bytes(described)) == digest and described["files"][WEIGHTS]["sha256"] == sha256(content)
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise StorageError(
            f"{release}: the weights that MLflow at {uri} keeps are not what was released (their hash differs); no "
            "training begins from them. With --from-scratch it begins from what the parameters say."
        )
