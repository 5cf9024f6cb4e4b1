"""The golden test: a board's own answers to a release's inputs, against those that were validated."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import sha256
from edge_pipeline.devices.boards.board import Board
from edge_pipeline.fleet.bundle import MANIFEST, MANIFEST_MB, SIGNATURE, Manifest, signed
from edge_pipeline.fleet.errors import BundleError, DeployError
from edge_pipeline.fleet.keys import PublicKey

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors

TIME_LIMIT_S = 300.0
MB = 10**6
RESULT = "result.npz"


async def golden_test(board: Board, path: str, slug: str, trusted: Sequence[PublicKey]) -> str:
    """Run the model of a release on a board, and return in words how well it agrees.

    Nothing is believed that the board tells: the outputs to compare with are those of a manifest that is signed.

    Args:
        board: which.
        path: of the release on the board, or of the link `current`.
        slug: of the target that is laid out there.
        trusted: keys that may have signed it.

    Raises:
        DeployError: the outputs are not those that were validated.
        DeviceError: the board cannot be reached, or cannot run the model.
        BundleError: what is there is not what was signed.
    """
    parts = [await board.fetch(f"{path}/{name}", MANIFEST_MB * MB) for name in (MANIFEST, SIGNATURE)]
    manifest, _ = signed(parts[0], parts[1], trusted)
    if slug not in manifest.targets:
        raise BundleError(f"the release on the board has no target {slug}")
    entry = manifest.targets[slug]
    wanted = await _outputs(board, path, slug, manifest)
    request = {
        "action": "infer",
        "runtime": entry.runtime,
        "model": f"{path}/artifact/{entry.model}",
        "inputs": f"{path}/golden/inputs.npz",
        "threads": 1,
        "result": RESULT,
    }
    limit = 2 * sum(one.nbytes for one in wanted) + MB
    found = _unpacked(await board.run(request, {}, RESULT, limit, TIME_LIMIT_S), limit)
    worst = _agreement_db(wanted, found)
    if worst < entry.tolerance_db:
        raise DeployError(
            f"the golden test failed: the outputs agree at {worst:.1f} dB with those that were validated, at least "
            f"{entry.tolerance_db:g} dB are needed"
        )
    return f"golden test {worst:.1f} dB"


async def _outputs(board: Board, path: str, slug: str, manifest: Manifest) -> "Tensors":
    """Return the validated outputs, which the board keeps, if they are the ones that were signed."""
    about = manifest.files[f"targets/{slug}/golden/outputs.npz"]
    data = await board.fetch(f"{path}/golden/outputs.npz", about.bytes)
    if sha256(data) != about.sha256:
        raise BundleError("the golden outputs on the board are not the ones that were signed")
    return _unpacked(data, 2 * len(data) + MB)


def _unpacked(data: bytes, limit: int) -> "Tensors":
    """Return arrays that a board sent; at most `limit` bytes of them."""
    from edge_pipeline.devices.agent.tensors import unpack

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            if sum(entry.file_size for entry in stored.infolist()) > limit:
                raise ValueError("they are larger than expected")
        return unpack(io.BytesIO(data))
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DeviceError(f"what the board answered are no outputs: {str(error)[:300]}", "damaged") from error


def _agreement_db(wanted: "Tensors", found: "Tensors") -> float:
    """Return the SQNR in dB of the output that agrees least; minus infinity where the outputs have other shapes."""
    import numpy as np

    from edge_pipeline.core.numerics import sqnr_db

    if [one.shape for one in wanted] != [one.shape for one in found]:
        return float("-inf")
    with np.errstate(all="ignore"):
        values: list[Any] = [
            sqnr_db(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(wanted, found, strict=True)
        ]
    return min(float(value) if isfinite(value) else float("-inf") for value in values)
