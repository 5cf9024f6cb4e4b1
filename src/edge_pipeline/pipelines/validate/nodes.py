"""Run a compiled model over the whole test set on the device of a target."""

import itertools
import math
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.nodes import references
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.pipelines.validate.parameters import ValidateParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_BYTES = 128 * 2**20
"""Size of the images that are held in memory and sent to a device at a time."""


@isolated("validate")
def validate(
    split: Split,
    exported: Artifact,
    compiled: Artifact,
    parameters: ValidateParameters,
    *,
    spec: ModelSpec,
    device: DeviceSpec,
    target: Target,
    subject: str,
) -> Validation:
    """Return the task's metrics on the test part, and the agreement with the model's parents on validation images.

    `sqnr_float_db` compares with the float network in PyTorch, `sqnr_sim_db` with what was exported: the AIMET
    simulation, or for a float target the float network again.

    Raises:
        DeviceError: the device cannot run the artifact, or its outputs are not finite.
    """
    import numpy as np

    from edge_pipeline.core.numerics import sqnr_db
    from edge_pipeline.datasets.base import batches, open_dataset
    from edge_pipeline.tasks import classification

    samples = open_dataset(spec.dataset, spec.image_shape)
    known = references(exported)
    size = max(1, BATCH_BYTES // known["images"][0].nbytes)
    test = (images for images, _ in batches(samples, split.test, size))
    found = connect(device).infer(
        compiled,
        itertools.chain([known["images"]], test),
        threads=parameters.threads,
        time_limit_s=parameters.time_limit_s,
        target=target.name,
    )
    total = 1 + math.ceil(len(split.test) / size)
    outputs = [_checked(one, spec.classes, target) for one in track(found, f"{target.name}: validate", total)]
    checked, logits = outputs[0], np.concatenate(outputs[1:])
    labels = np.asarray([samples.labels[index] for index in split.test], np.int64)
    return Validation(
        target.name,
        compiled.hash,
        compiled.lineage,
        {
            **classification.metrics(logits, labels, split.classes),
            "sqnr_float_db": sqnr_db(known["float"], checked),
            "sqnr_sim_db": sqnr_db(known["source"], checked),
        },
        len(labels),
        classification.confusion_matrix(logits, labels, len(split.classes)),
        split.classes,
    )


def _checked(outputs: "NDArray[np.float32]", classes: int, target: Target) -> "NDArray[np.float32]":
    import numpy as np

    if outputs.shape != (len(outputs), classes) or not np.isfinite(outputs).all():
        raise DeviceError(
            f"{target.name}: the outputs of {len(outputs)} images have shape {outputs.shape} (expected "
            f"{(len(outputs), classes)}) or hold NaN or infinite values"
        )
    return outputs
