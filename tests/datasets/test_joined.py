import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.image_folder import ImageFolder
from edge_pipeline.datasets.joined import BATCH, Joined, with_incoming
from edge_pipeline.datasets.split import split_samples


@pytest.fixture
def batch(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a batch of one grey picture in each class given; returns the folder of batches."""

    def make(name: str, *classes: str, value: int = 9) -> Path:
        folder = tmp_path / "incoming" / name
        for label in classes:
            (folder / label).mkdir(parents=True)
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(folder / label / "x.png")
        (folder / BATCH).write_text(json.dumps({"format": "image_folder", "samples": dict.fromkeys(classes, "")}))
        return folder.parent

    return make


def test_new_samples_are_for_training_and_the_other_parts_do_not_change(batch: Callable[..., Path]) -> None:
    own = Digits(1)
    joined = with_incoming(own, batch("b1", "3", "7"), 1, masks=False)
    before, after = (split_samples(one, seed=0, validation=0.15, test=0.2) for one in (own, joined))
    assert after.test == before.test and after.validation == before.validation
    assert after.train == (*before.train, 1797, 1798)
    assert after.dataset_hash != before.dataset_hash
    assert [joined.truth(index) for index in (1797, 1798)] == [3, 7]
    assert joined.picture(1797).shape == (8, 8, 1) and joined.labels is not None and len(joined.labels) == 1799


def test_a_division_of_the_dataset_is_kept(tmp_path: Path, batch: Callable[..., Path]) -> None:
    for part in ("train", "val", "test"):
        for label in ("a", "b"):
            (tmp_path / "own" / part / label).mkdir(parents=True)
            for index in range(4):
                Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / "own" / part / label / f"{index}.png")
    joined = with_incoming(ImageFolder(tmp_path / "own", 1), batch("b1", "b"), 1, masks=False)
    split = split_samples(joined, seed=0, validation=0.1, test=0.1)
    assert (len(split.train), len(split.validation), len(split.test)) == (9, 8, 8)
    assert max(split.train) == 24 and joined.name(24).endswith("b1/b/x.png") and joined.truth(24) == 1


def test_without_batches_a_dataset_stays_what_it_is(tmp_path: Path) -> None:
    own = Digits(1)
    assert with_incoming(own, None, 1, masks=False) is own
    assert with_incoming(own, tmp_path / "nothing", 1, masks=False) is own


def test_the_hash_tells_batches_apart(batch: Callable[..., Path]) -> None:
    own = Digits(1)
    first = with_incoming(own, batch("b1", "3"), 1, masks=False).content_hash()
    second = with_incoming(own, batch("b2", "3", value=8), 1, masks=False)
    assert isinstance(second, Joined) and second.content_hash() != first and len(second.added) == 2


def test_a_class_that_the_dataset_no_longer_has_is_an_error(batch: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="class 'horse', which the dataset no longer has"):
        with_incoming(Digits(1), batch("b1", "horse"), 1, masks=False)


def test_a_batch_that_lost_pictures_or_its_description_is_an_error(batch: Callable[..., Path]) -> None:
    folder = batch("b1", "3", "4")
    (folder / "b1" / "3" / "x.png").unlink()
    with pytest.raises(DatasetError, match="has 1 images, it was taken in with 2"):
        with_incoming(Digits(1), folder, 1, masks=False)
    (folder / "b1" / BATCH).write_text('{"format": "image_folder"}')
    with pytest.raises(DatasetError, match="is damaged"):
        with_incoming(Digits(1), folder, 1, masks=False)
    (folder / "b1" / BATCH).write_text('{"format": "parquet", "samples": {}}')
    with pytest.raises(DatasetError, match="names the format 'parquet'"):
        with_incoming(Digits(1), folder, 1, masks=False)
