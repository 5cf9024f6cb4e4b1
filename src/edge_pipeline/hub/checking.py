"""`python -m edge_pipeline.hub.checking REQUEST`: check an uploaded ONNX model in a process of its own.

The model is run once, and it comes from somebody else: it may crash or hang. REQUEST is a JSON file with `source` (the
.onnx file), `encodings` (AIMET's file for it, or nothing), `shapes` (of inputs, by name), `result` (file for the
checked model, QDQ if there are encodings) and `problem` (file for what is wrong with it, in words).
"""

import json
import sys
from pathlib import Path
from typing import Any

from edge_pipeline.core.child import die_with_parent
from edge_pipeline.core.errors import ModelError, QuantizationError


def main(request: dict[str, Any]) -> None:
    """Do what `request` says."""
    from edge_pipeline.models.onnx_file import load_onnx

    shapes = {name: tuple(shape) for name, shape in request["shapes"].items()}
    source = Path(request["source"])
    try:
        if request["encodings"]:
            source.write_bytes(_quantized(source, Path(request["encodings"])))
        Path(request["result"]).write_bytes(load_onnx(source, shapes))
    except (ModelError, QuantizationError) as error:
        Path(request["problem"]).write_text(str(error), encoding="utf-8")


def _quantized(source: Path, encodings: Path) -> bytes:
    """Return a float model as QDQ with AIMET's encodings for it."""
    import onnx

    try:
        from edge_pipeline.quantization.onnx_ptq import quantize_with

        content = json.loads(encodings.read_bytes())
        model = bytes(onnx.load(str(source)).SerializeToString())
    except ModuleNotFoundError as error:
        raise ModelError(f"the hub lacks the package {error.name}, which reads encodings; send QDQ instead") from error
    except Exception as error:
        raise ModelError(f"the model or its encodings cannot be read: {str(error)[:300]}") from error
    if not isinstance(content, dict):
        raise ModelError("the encodings are no JSON object")
    return quantize_with(model, content)


if __name__ == "__main__":
    die_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
