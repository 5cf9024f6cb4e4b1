"""Split the data, fine-tune the network."""

from pathlib import Path

from edge_pipeline.core.types import Artifact, Split, TensorSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters, SplitParameters
from edge_pipeline.pipelines.isolation import isolated


@isolated("split")
def split(parameters: SplitParameters, *, spec: ModelSpec, subject: str) -> Split:
    """Fix which sample is for training, validation and test."""
    from edge_pipeline.datasets.base import open_dataset
    from edge_pipeline.datasets.split import split_samples

    samples = open_dataset(spec.dataset, spec.image_shape)
    return split_samples(samples, seed=parameters.seed, validation=parameters.validation, test=parameters.test)


@isolated("finetune")
def finetune(
    split: Split, checkpoints: Path, parameters: FinetuneParameters, *, spec: ModelSpec, subject: str
) -> Artifact:
    """Fine-tune; return the best weights with the training's history."""
    import torch

    from edge_pipeline.datasets.base import open_dataset
    from edge_pipeline.models.classifier import state_to_bytes
    from edge_pipeline.pipelines.finetune.training import fingerprint, train

    samples = open_dataset(spec.dataset, spec.image_shape)
    trained = train(spec, samples, split, parameters, checkpoints, subject)
    best = trained.history[trained.best_epoch - 1]
    return Artifact(
        "weights",
        {"weights.pt": state_to_bytes(trained.state)},
        {"dataset": split.dataset_hash, "training": fingerprint(spec, split, parameters, subject)},
        (TensorSpec("image", (1, *spec.image_shape), "float32"),),
        (TensorSpec("logits", (1, spec.classes), "float32"),),
        {"torch": torch.__version__},
        {
            "history": list(trained.history),
            "best_epoch": trained.best_epoch,
            "epochs": len(trained.history),
            "metrics": {f"best_{key}": best[key] for key in ("validation_accuracy", "validation_loss")},
            "parameters": sum(v.numel() for k, v in trained.state.items() if k.endswith(("weight", "bias"))),
        },
    )
