"""What a run needs from its surroundings, checked before it starts."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from edge_pipeline.core.errors import CompileError, ConfigError, DeviceError, ModelError
from edge_pipeline.core.plugins import load_callable
from edge_pipeline.core.types import Target
from edge_pipeline.datasets.spec import CityscapesSpec, CocoSpec, DatasetSpec, ImageFolderSpec, YoloTextSpec
from edge_pipeline.devices.aihub.client import open_client
from edge_pipeline.models.recipes import missing_extra
from edge_pipeline.models.spec import CustomSpec
from edge_pipeline.pipelines.config import Project
from edge_pipeline.runtimes.base import packages
from edge_pipeline.runtimes.qnn import check_packages


def check(project: Project, outputs: Collection[str], targets: Iterable[Target]) -> None:
    """Refuse to start a run that would end with something missing.

    Args:
        project: the configuration.
        outputs: names of all datasets that the run makes.
        targets: those of which the run makes something.

    Raises:
        ConfigError: names every missing folder, file and package.
    """
    problems = [
        *_missing_files(project, outputs),
        *_missing_extras(project, outputs),
        *_missing_objects(project, outputs),
        *_missing_packages(project, targets),
    ]
    if problems:
        raise ConfigError(problems)


def _missing_files(project: Project, outputs: Collection[str]) -> Iterator[str]:
    for model, spec in project.models.items():
        start = project.parameters[model].finetune.checkpoint
        makes_weights = f"{model}.weights" in outputs
        if makes_weights or f"{model}.split" in outputs:
            for key, path in _places(spec.dataset):
                if "://" not in path and not Path(path).exists():
                    yield (
                        f"models.yml: {model}.dataset.{key}: {path} does not exist "
                        "(relative paths start at the project's folder)"
                    )
        if makes_weights and start and not start.is_file():
            yield f"parameters: {model}.finetune.checkpoint: the file {start} does not exist"
        if makes_weights and isinstance(spec, CustomSpec) and spec.file and not spec.file.is_file():
            yield f"models.yml: {model}.file: the file {spec.file} does not exist"


def _places(dataset: DatasetSpec) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a dataset that name a folder or file."""
    if isinstance(dataset, ImageFolderSpec | YoloTextSpec | CityscapesSpec):
        yield "path", dataset.path
    elif isinstance(dataset, CocoSpec):
        for name in ("train", "validation", "test"):
            part = getattr(dataset, name)
            if part:
                yield f"{name}.images", part.images
                yield f"{name}.annotations", part.annotations


def _missing_objects(project: Project, outputs: Collection[str]) -> Iterator[str]:
    """Import what the configuration names of the user's own code: a typing mistake must not show hours later."""
    for model, spec in project.models.items():
        if not any(name.startswith(f"{model}.") for name in outputs):
            continue
        named = {"metric": spec.metric, "dataset.factory": getattr(spec.dataset, "factory", None)}
        if isinstance(spec, CustomSpec):
            named |= {"factory": spec.factory, "loss": spec.loss}
        for key, reference in named.items():
            if reference:
                try:
                    load_callable(reference, key.rpartition(".")[2], ModelError)
                except ModelError as error:
                    yield f"models.yml: {model}.{key}: {error}"


def _missing_extras(project: Project, outputs: Collection[str]) -> Iterator[str]:
    for model, spec in project.models.items():
        extra = missing_extra(spec)
        if extra and any(name.startswith(f"{model}.") for name in outputs):
            yield (
                f"models.yml: {model}: the recipe needs packages that are not installed. Install them with "
                f"`pip install 'edge-pipeline[{extra}]'`."
            )


def _missing_packages(project: Project, targets: Iterable[Target]) -> Iterator[str]:
    """AI Hub compiles there: its targets need no packages of runtimes here, but an account."""
    targets = list(targets)
    hub = [name for name, device in project.devices.items() if device.kind == "aihub"]
    on_hub = list(dict.fromkeys(target.device for target in targets if target.device in hub))
    if on_hub:
        try:
            open_client()
        except DeviceError as error:
            yield f"devices.yml: {', '.join(on_hub)}: {error}"
    for name in dict.fromkeys(target.runtime for target in targets if target.device not in hub):
        try:
            check_packages() if name.npu else packages(name)
        except CompileError as error:
            yield str(error)
