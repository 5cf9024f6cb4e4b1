"""Split the data, fine-tune the network."""

from pathlib import Path
from typing import Any

from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.datasets.base import Samples, open_dataset
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import CustomSpec, ModelSpec
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters, SplitParameters
from edge_pipeline.pipelines.isolation import isolated


@isolated("split")
def split(parameters: SplitParameters, *, spec: ModelSpec, subject: str) -> Split:
    """Fix which sample is for training, validation and test."""
    from edge_pipeline.datasets.split import split_samples

    samples = open_samples(spec)
    return split_samples(samples, seed=parameters.seed, validation=parameters.validation, test=parameters.test)


def open_samples(spec: ModelSpec) -> Samples:
    """Open the dataset of a model."""
    return open_dataset(spec.dataset, spec.task, spec.image_shape[0])


@isolated("finetune")
def finetune(
    split: Split, checkpoints: Path, parameters: FinetuneParameters, *, spec: ModelSpec, subject: str
) -> Artifact:
    """Fine-tune; return the best weights with the training's history. A network without a loss is taken as it is."""
    import torch

    spec = recipes.as_trained(spec)
    interface = recipes.interface(spec)
    described = {"interface": interface.model_dump(mode="json"), "recipe": spec.recipe}
    if isinstance(spec, CustomSpec) and not spec.trained:
        files, details, origin = _untrained(spec)
    else:
        files, details, origin = _trained(split, checkpoints, parameters, spec, subject)
    return Artifact(
        "weights",
        files,
        {"dataset": split.dataset_hash, "training": origin},
        interface.inputs,
        interface.outputs,
        {"torch": torch.__version__},
        {**details, **described},
    )


def _trained(
    split: Split, checkpoints: Path, parameters: FinetuneParameters, spec: ModelSpec, subject: str
) -> tuple[dict[str, bytes], dict[str, Any], str]:
    from edge_pipeline.models.checkpoints import state_to_bytes
    from edge_pipeline.models.complexity import complexity
    from edge_pipeline.pipelines.finetune.fingerprint import fingerprint
    from edge_pipeline.pipelines.finetune.training import train

    trained = train(spec, open_samples(spec), split, parameters, checkpoints, subject)
    best = trained.history[trained.best_epoch - 1]
    numbers, multiply_adds = complexity(
        recipes.recipe(spec).build(recipes.without_download(spec)), recipes.dummy_inputs(spec)
    )
    metrics = {f"best_{key}": best[key] for key in ("validation_accuracy", "validation_loss") if key in best}
    metrics |= {f"untrained_{key}": value for key, value in trained.untrained.items()}
    details = {
        "history": list(trained.history),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "metrics": {**metrics, "parameters": float(numbers), "multiply_adds": float(multiply_adds)},
        "parameters": numbers,
        "multiply_adds": multiply_adds,
    }
    return {"weights.pt": state_to_bytes(trained.state)}, details, fingerprint(spec, split, parameters, subject)


def _untrained(spec: CustomSpec) -> tuple[dict[str, bytes], dict[str, Any], str]:
    from edge_pipeline.core.files import sha256
    from edge_pipeline.models.checkpoints import state_to_bytes

    details = {"history": [], "best_epoch": 0, "epochs": 0, "metrics": {}}
    if spec.file:
        from edge_pipeline.models.custom import file_model

        content = file_model(spec)
        return {recipes.ONNX: content}, details, sha256(content)
    content = state_to_bytes(recipes.recipe(spec).build(spec).state_dict())
    return {"weights.pt": content}, details, sha256(content)
