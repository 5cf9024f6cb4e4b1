"""Run a compiled model over the whole test set on the device of a target."""

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.nodes import references
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.pipelines.validate.parameters import ValidateParameters


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
    from edge_pipeline.datasets.base import open_dataset, stack
    from edge_pipeline.tasks import classification

    samples = open_dataset(spec.dataset, spec.image_shape)
    known = references(exported)
    images = np.concatenate([known["images"], stack(samples, split.test)])
    outputs = connect(device).infer(
        compiled,
        images,
        threads=parameters.threads,
        time_limit_s=parameters.time_limit_s,
        target=target.name,
    )
    if outputs.shape != (len(images), spec.classes) or not np.isfinite(outputs).all():
        raise DeviceError(
            f"{target.name}: the outputs have shape {outputs.shape} (expected {(len(images), spec.classes)}) "
            "or hold NaN or infinite values"
        )
    checked, logits = outputs[: len(known["images"])], outputs[len(known["images"]) :]
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
