"""What a run needs from its surroundings, checked before it starts."""

from collections.abc import Collection, Iterable, Iterator

from edge_pipeline.core.errors import CompileError, ConfigError
from edge_pipeline.core.types import Target
from edge_pipeline.datasets.spec import ImageFolderSpec
from edge_pipeline.pipelines.config import Project
from edge_pipeline.runtimes.base import packages


def check(project: Project, outputs: Collection[str], targets: Iterable[Target]) -> None:
    """Refuse to start a run that would end with something missing.

    Args:
        project: the configuration.
        outputs: names of all datasets that the run makes.
        targets: those of which the run makes something.

    Raises:
        ConfigError: names every missing folder, file and package.
    """
    problems = [*_missing_files(project, outputs), *_missing_packages(targets)]
    if problems:
        raise ConfigError(problems)


def _missing_files(project: Project, outputs: Collection[str]) -> Iterator[str]:
    for model, spec in project.models.items():
        dataset, start = spec.dataset, project.parameters[model].finetune.checkpoint
        reads_data = f"{model}.split" in outputs or f"{model}.weights" in outputs
        if reads_data and isinstance(dataset, ImageFolderSpec) and not dataset.path.is_dir():
            yield (
                f"models.yml: {model}.dataset.path: the folder {dataset.path} does not exist "
                "(relative paths start at the project's folder)"
            )
        if f"{model}.weights" in outputs and start and not start.is_file():
            yield f"parameters: {model}.finetune.checkpoint: the file {start} does not exist"


def _missing_packages(targets: Iterable[Target]) -> Iterator[str]:
    for name in dict.fromkeys(target.runtime for target in targets):
        try:
            packages(name)
        except CompileError as error:
            yield str(error)
