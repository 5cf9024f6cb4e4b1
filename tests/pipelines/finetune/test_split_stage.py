from pathlib import Path

from edge_pipeline.core.types import Failure, Split
from edge_pipeline.datasets.spec import ImageFolderSpec
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec
from edge_pipeline.pipelines.finetune.nodes import split
from edge_pipeline.pipelines.finetune.parameters import SplitParameters


def test_the_dataset_of_the_model_is_split_with_the_shares_asked_for(spec: ModelSpec) -> None:
    found = split(SplitParameters(seed=3, validation=0.1, test=0.3), spec=spec, subject="digits")
    assert isinstance(found, Split)
    assert (found.seed, len(found.validation), len(found.test)) == (3, 180, 540)


def test_a_dataset_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    dataset = ImageFolderSpec(type="image_folder", path=str(tmp_path / "nowhere"))
    found = split(SplitParameters(), spec=ClassifierSpec(recipe="classifier", dataset=dataset), subject="digits")
    assert isinstance(found, Failure)
    assert "does not exist" in found.message
