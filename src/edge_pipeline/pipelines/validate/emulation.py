"""Whether the numbers of an emulator can be believed."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from edge_pipeline.core.interface import ClassMap, Interface, Logits
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.pipelines.export.nodes import agreement_db, least_db
from edge_pipeline.pipelines.references import References

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors

    Infer = Callable[[Iterable[Tensors]], Iterator[Tensors]]

BATCH = 16
"""Number of images that are given to an emulator at a time: each takes seconds."""

REPEATED = 2
"""Number of reference images that are run twice."""


def few(known: References, count: int) -> References:
    """Return the first `count` reference images: emulation takes seconds for each.

    An output that is near zero on many images, as mask coefficients are, agrees to far less on few images than on all.
    """
    inputs, of_float, of_source = (
        tuple(one[:count] for one in group) for group in (known.inputs, known.float, known.source)
    )
    return References(inputs, of_float, of_source, known.shown)


def check(
    infer: "Infer", outputs: "Tensors", known: References, exported: Artifact, interface: Interface
) -> tuple[dict[str, float], str]:
    """Compare an emulator's outputs with a second run and with ONNX Runtime; return metrics and what is wrong.

    The emulator is known to be wrong, and different from run to run, on some layers with 16-bit activations. The second
    result is empty where nothing is wrong.

    Args:
        infer: runs the emulator.
        outputs: what it gave for the reference images.
        known: the reference images.
        exported: the ONNX model that was compiled.
        interface: of the network.
    """
    import numpy as np

    from edge_pipeline.runtimes.session import open_session, run

    again = next(iter(infer([tuple(one[:REPEATED] for one in known.inputs)])))
    session = open_session("onnx", exported.files["model.onnx"], threads=1)
    rows = [run(session, [one[i : i + 1] for one in known.inputs]) for i in range(len(known.inputs[0]))]
    onnx = tuple(np.concatenate(one) for one in zip(*rows, strict=True))
    metrics = {"sqnr_onnx_db": agreement_db(onnx, outputs, interface)}
    if isinstance(interface.postprocessing, Logits | ClassMap):
        metrics["top1_agreement"] = float((onnx[0].argmax(1) == outputs[0].argmax(1)).mean())
    if not all(np.array_equal(a, b[:REPEATED]) for a, b in zip(again, outputs, strict=True)):
        return metrics, "two runs of the emulator on the same image give different outputs"
    least = least_db(Precision(exported.details["precision"]), known, interface)
    if not metrics["sqnr_onnx_db"] >= least:
        return metrics, (
            f"the emulator and ONNX Runtime agree to {metrics['sqnr_onnx_db']:.1f} dB only, at least {least:.0f} dB "
            "are expected of the same integers"
        )
    return metrics, ""
