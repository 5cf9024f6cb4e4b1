"""Keep rendered scenes on disk. Each file ends with the SHA-256 of what is before it; a wrong one counts as absent."""

import functools
import hashlib
import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.files import json_bytes, sha256, write_atomically
from edge_pipeline.datasets.aerial.settings import AerialSettings, Scene

_DIGEST_BYTES = 32


@functools.cache
def generator_hash() -> str:
    """Return the SHA-256 over this package's source code and the versions of the libraries that compute pixels."""
    sources = {p.name: sha256(p.read_bytes()) for p in sorted(Path(__file__).parent.glob("*.py"))}
    return sha256(json_bytes([sources, {name: version(name) for name in ("numpy", "pillow", "scipy")}]))


def scenes_hash(settings: AerialSettings) -> str:
    """Return a hash of all that decides scene i; the number of scenes does not."""
    low, high = settings.altitudes
    return sha256(json_bytes([settings.seed, list(settings.size), float(low), float(high), generator_hash()]))


class SceneCache:
    """The scenes of one dataset in a folder of their own. Several processes may use it at once."""

    def __init__(self, folder: Path, settings: AerialSettings) -> None:
        self._folder = folder / f"aerial-{scenes_hash(settings)[:16]}"

    def save(self, index: int, scene: Scene) -> None:
        """Write a scene: the labels last, so that a scene whose labels are there is complete."""
        picture = io.BytesIO()
        Image.fromarray(scene.picture).save(picture, "PNG", compress_level=1)
        _write(self._path(index, "png"), picture.getvalue())
        _write(self._path(index, "npz"), _packed(scene))

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """Return a stored picture, or `None`."""
        data = _read(self._path(index, "png"))
        return None if data is None else np.array(Image.open(io.BytesIO(data)))

    def instances(self, index: int, *, masks: bool) -> Instances | None:
        """Return the stored objects with or without masks, or `None`."""
        data = _read(self._path(index, "npz"))
        if data is None:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            height, width = (int(n) for n in arrays["size"])
            rles = None
            if masks:
                counts, ends = arrays["counts"].tobytes(), arrays["ends"].tolist()
                parts = zip([0, *ends[:-1]], ends, strict=True) if ends else ()
                rles = [{"size": [height, width], "counts": counts[a:b]} for a, b in parts]
            return Instances.of((height, width), arrays["boxes"], arrays["classes"], masks=rles)

    def labels(self, index: int) -> NDArray[np.uint8] | None:
        """Return the stored semantic map, or `None`."""
        data = _read(self._path(index, "npz"))
        if data is None:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            labels: NDArray[np.uint8] = arrays["labels"]
            return labels

    def _path(self, index: int, suffix: str) -> Path:
        return self._folder / f"{index // 1000:04d}" / f"{index:07d}.{suffix}"


def _packed(scene: Scene) -> bytes:
    counts = [bytes(mask["counts"]) for mask in scene.instances.masks or ()]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        size=np.asarray(scene.instances.size, np.int32),
        boxes=scene.instances.boxes,
        classes=scene.instances.classes.astype(np.uint8),
        counts=np.frombuffer(b"".join(counts), np.uint8),
        ends=np.cumsum([len(c) for c in counts], dtype=np.int64),
        labels=scene.labels,
    )
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data + hashlib.sha256(data).digest())


def _read(path: Path) -> bytes | None:
    """Return the contents of a file whose digest is right."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    data, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else None
