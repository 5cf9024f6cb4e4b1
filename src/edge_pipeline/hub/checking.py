"""`python -m edge_pipeline.hub.checking REQUEST`: check an uploaded ONNX model in a process of its own.

The model is run once, and it comes from somebody else: it may crash or hang. REQUEST is a JSON file with `source` (the
.onnx file), `shapes` (of inputs, by name), `result` (file for the checked model) and `problem` (file for what is wrong
with it, in words).
"""

import json
import sys
from pathlib import Path
from typing import Any

from edge_pipeline.core.child import die_with_parent
from edge_pipeline.core.errors import ModelError


def main(request: dict[str, Any]) -> None:
    """Do what `request` says."""
    from edge_pipeline.models.onnx_file import load_onnx

    shapes = {name: tuple(shape) for name, shape in request["shapes"].items()}
    try:
        Path(request["result"]).write_bytes(load_onnx(Path(request["source"]), shapes))
    except ModelError as error:
        Path(request["problem"]).write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    die_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
