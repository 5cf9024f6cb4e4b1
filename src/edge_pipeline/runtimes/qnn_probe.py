"""`python -m edge_pipeline.runtimes.qnn_probe REQUEST`: run one sample on the QNN emulator, with chosen outputs.

REQUEST is a JSON file with `folder`, which holds `model.onnx` and `inputs.npz` and where `outputs.npz` is written,
`soc_model` and `outputs`, their names.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_pipeline.core.child import die_with_parent


def main(request: dict[str, Any]) -> None:
    """Run as `request` says."""
    from edge_pipeline.runtimes.qnn_engine import open_qnn

    folder = Path(request["folder"])
    session = open_qnn(folder / "model.onnx", {"soc_model": str(request["soc_model"])}, fallback=True)
    with np.load(folder / "inputs.npz") as found:
        inputs = [found[f"arr_{index}"] for index in range(len(found.files))]
    feeds = {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)}
    np.savez(folder / "outputs.npz", *session.run(request["outputs"], feeds))


if __name__ == "__main__":
    die_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
