"""Export the float network or the AIMET simulation, and measure what the export changed."""

import io
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Split
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.parameters import ExportParameters
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.quantize.nodes import build_simulation
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MINIMUM_DB = {Precision.FLOAT: 80.0, Precision.W8A8: 20.0}
"""Below this agreement between the exported file and its source, the export is wrong, not rounded."""


@isolated("export")
@one_at_a_time
def export(
    split: Split,
    weights: Artifact,
    source: Artifact,
    parameters: ExportParameters,
    *,
    spec: ModelSpec,
    precision: Precision,
    subject: str,
) -> Artifact:
    """Write ONNX (and a `.pt2` for LiteRT) with reference outputs on validation images.

    Args:
        split: names the validation part.
        weights: the float network.
        source: what is exported: the weights themselves, or the calibrated simulation.
        parameters: opset and number of images to compare on.
        spec: the model.
        precision: decides between a float and a QDQ file.
        subject: shown in messages.

    Raises:
        ExportError: the ONNX file's outputs do not agree with its source.
    """
    import numpy as np
    import onnx
    import torch

    from edge_pipeline.core.numerics import max_difference, sqnr_db
    from edge_pipeline.datasets.base import open_dataset, stack
    from edge_pipeline.datasets.split import stratified_subset
    from edge_pipeline.models import classifier
    from edge_pipeline.quantization.export import to_onnx, to_program
    from edge_pipeline.runtimes.session import open_session, run

    samples = open_dataset(spec.dataset, spec.image_shape)
    chosen = stratified_subset(samples, split.validation, parameters.check_images, split.seed)
    images = stack(samples, chosen)
    net = classifier.build(spec).eval()
    net.load_state_dict(classifier.state_from_bytes(weights.files["weights.pt"], "weights.pt"))
    dummy = classifier.dummy_input(spec)
    quantized = precision is not Precision.FLOAT
    module = _restore(spec, weights, source) if quantized else net
    with torch.no_grad():
        float_outputs = net(torch.from_numpy(images)).numpy()
        source_outputs = module(torch.from_numpy(images)).numpy()
    files = {"model.onnx": to_onnx(module, dummy, opset=parameters.opset, quantized=quantized)}
    session = open_session("onnx", files["model.onnx"], threads=1)
    exported = np.concatenate([run(session, [image[None]])[0] for image in images])
    agreement = sqnr_db(source_outputs, exported)
    if not agreement >= MINIMUM_DB[precision]:
        raise ExportError(
            f"the ONNX file differs from what was exported: {agreement:.1f} dB on {len(images)} images, at least "
            f"{MINIMUM_DB[precision]:.0f} dB expected"
        )
    if RuntimeName.TFLITE in spec.targets.runtimes:
        files["model.pt2"] = to_program(module, dummy, quantized=quantized)
    files["references.npz"] = _pack(images=images, float=float_outputs, source=source_outputs)
    tools = {"torch": torch.__version__, "onnx": onnx.__version__}
    return Artifact(
        "exported",
        files,
        source.lineage,
        weights.inputs,
        weights.outputs,
        {**source.tools, **tools},
        {
            "precision": precision.value,
            "opset": parameters.opset,
            "images": list(chosen),
            "onnx_vs_source_sqnr_db": agreement,
            "onnx_vs_source_max_difference": max_difference(source_outputs, exported),
            "onnx_vs_float_sqnr_db": sqnr_db(float_outputs, exported),
        },
    )


def references(exported: Artifact) -> "dict[str, NDArray[np.float32]]":
    """Return `images`, `float` and `source` outputs recorded at export; each has the images' number of rows."""
    import numpy as np

    with np.load(io.BytesIO(exported.files["references.npz"]), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _restore(spec: ModelSpec, weights: Artifact, simulation: Artifact) -> Any:
    from edge_pipeline.models.classifier import state_from_bytes
    from edge_pipeline.quantization import ptq

    parameters = QuantizeParameters.model_validate(simulation.details["parameters"])
    sim = build_simulation(spec, weights, parameters)
    sim.model.load_state_dict(state_from_bytes(simulation.files["simulation.pt"], "simulation.pt"))
    ptq.share_through_pooling(sim)
    return sim.model.eval()


def _pack(**arrays: "NDArray[np.float32]") -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
