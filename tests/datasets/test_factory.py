import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.factory import FactorySamples, load_factory

PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


@dataclass
class Listed:
    """A dataset of the pairs given."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@dataclass
class Named(Listed):
    classes: Any = None
    labels: Any = None
    parts: Any = None


def samples(*items: Any, **more: Any) -> FactorySamples:
    return FactorySamples(Named(items, **more))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that writes `users_data.py` into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(code: str) -> Path:
        (tmp_path / "users_data.py").write_text(code)
        return tmp_path / "users_data.py"

    yield write
    sys.modules.pop("users_data", None)


CODE = """
import numpy as np

class Data:
    classes = ["a", "b"]
    labels = [0, 1, 1]
    def __init__(self, scale=1): self.scale = scale
    def __len__(self): return 3
    def __getitem__(self, i): return np.full((4, 4, 3), i * self.scale, np.uint8), self.labels[i]

def broken():
    return {}["key"]
"""


def test_a_factory_is_called_with_its_options(module: Callable) -> None:
    module(CODE)
    found = FactorySamples(load_factory("users_data:Data", {"scale": 10}))
    assert len(found) == 3
    assert found.classes == ("a", "b")
    assert found.labels == [0, 1, 1]
    assert found.picture(2).max() == 20
    assert found.truth(2) == 1


def test_a_missing_factory_is_refused_with_the_closest_name(module: Callable) -> None:
    module(CODE)
    with pytest.raises(DatasetError, match=r"dataset factory 'users_data:Date'.*did you mean 'Data'"):
        load_factory("users_data:Date", {})


def test_a_factory_that_raises_is_told_with_the_place_and_the_cause(module: Callable) -> None:
    path = module(CODE)
    with pytest.raises(DatasetError, match="'users_data:broken' raised KeyError: 'key'") as raised:
        load_factory("users_data:broken", {})
    assert f"({path}, line 12, in broken)" in str(raised.value)
    assert isinstance(raised.value.__cause__, KeyError)


def test_a_wrong_option_is_told(module: Callable) -> None:
    module(CODE)
    with pytest.raises(DatasetError, match=r"raised TypeError: .*unexpected keyword argument 'scales'"):
        load_factory("users_data:Data", {"scales": 1})


def _picture_in_another_process(samples: FactorySamples, queue: Any) -> None:
    queue.put(samples.picture(2).tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_factory_of_the_users_works_in_other_processes(module: Callable, method: str) -> None:
    module(CODE)
    found = FactorySamples(load_factory("users_data:Data", {}))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    worker = context.Process(target=_picture_in_another_process, args=(found, queue))
    worker.start()
    assert queue.get(timeout=60) == found.picture(2).tolist()
    worker.join()


def test_pictures_may_be_grey_or_colour_arrays_images_or_tensors() -> None:
    import torch

    given = (PICTURE, PICTURE[:, :, 0], PICTURE[:, :, :1], Image.fromarray(PICTURE), torch.from_numpy(PICTURE))
    found = samples(*((one, 0) for one in given))
    assert found.has_pictures
    expected = (PICTURE, PICTURE[:, :, :1], PICTURE[:, :, :1], PICTURE, PICTURE)
    for index, picture in enumerate(expected):
        assert np.array_equal(found.picture(index), picture)
        assert found.picture(index).dtype == np.uint8
        assert found.picture(index).flags["C_CONTIGUOUS"]


def test_pictures_may_differ_in_size() -> None:
    found = samples((PICTURE, 0), (np.zeros((9, 9, 3), np.uint8), 1))
    assert [found.picture(i).shape for i in range(2)] == [(2, 4, 3), (9, 9, 3)]


def test_arrays_are_inputs_of_one_network() -> None:
    import torch

    tensor = torch.arange(3, dtype=torch.float32, requires_grad=False)
    found = samples((np.asarray([0.5, 1, 2]), 0), (tensor, 1))
    assert not found.has_pictures
    (first,) = found.inputs(0)
    assert first.dtype == np.float32
    assert first.tolist() == [0.5, 1, 2]
    assert found.inputs(1)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_inputs_come_in_their_order(kind: Any) -> None:
    found = samples((kind([np.zeros((2, 2)), np.ones(3, np.int64)]), 0))
    assert [(one.shape, one.dtype) for one in found.inputs(0)] == [((2, 2), np.float32), ((3,), np.int64)]
    assert found.names is None


def test_named_inputs_come_in_the_order_of_the_first_sample() -> None:
    first = {"image": np.zeros((2, 2)), "state": np.ones(3)}
    found = samples((first, 0), (dict(reversed(first.items())), 0))
    assert found.names == ("image", "state")
    assert [one.shape for one in found.inputs(1)] == [(2, 2), (3,)]
    found = samples((first, 0), ({"image": np.zeros((2, 2))}, 0))
    with pytest.raises(DatasetError, match=r"sample 1: its inputs are \['image'\], not \['image', 'state'\]"):
        found.inputs(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 5)), r"sample 1: its input has the shape \(3, 5\), that of the first sample has \(3, 4\)"),
        ((np.zeros((3, 4)), np.zeros(2)), r"has the shape \(3, 4\), \(2,\), that of the first sample has \(3, 4\)"),
        ("text", "its input is a str; a picture or arrays of numbers are expected"),
        (None, "its input is a NoneType"),
        ([], "its input is a list of 0"),
        ([[1, 2], [3, [4]]], "its input is a list of 2"),
    ],
)
def test_inputs_that_differ_from_the_first_sample_are_refused(given: Any, message: str) -> None:
    found = samples((np.zeros((3, 4)), 0), (given, 0))
    with pytest.raises(DatasetError, match=f"the class Named: .*{message}"):
        found.inputs(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\); \(h, w, 1 or 3\) is expected \(the channels come last\)"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\); \(h, w, 1 or 3\) is expected$"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\)"),
        (np.zeros((8, 8, 3)), r"an array of float64 and shape \(8, 8, 3\); a picture is expected, uint8"),
        ("text", "a str; a picture is expected"),
    ],
)
def test_something_else_than_a_picture_is_refused(given: Any, message: str) -> None:
    found = samples((PICTURE, 0), (given, 0))
    with pytest.raises(DatasetError, match=f"sample 1: .*{message}"):
        found.picture(1)


@pytest.mark.parametrize("item", [5, "ab", (1,), (1, 2, 3), {"x": 1, "y": 2}, np.zeros(2)])
def test_something_else_than_a_pair_is_refused(item: Any) -> None:
    found = samples((PICTURE, 0), item)
    with pytest.raises(DatasetError, match=r"sample 1: it is .*; a pair \(input, truth\) is expected"):
        found.truth(1)


@pytest.mark.parametrize("given", [7, np.int64(7), np.asarray(7), np.uint8(7)])
def test_a_class_index_is_a_plain_number(given: Any) -> None:
    truth = samples((PICTURE, given)).truth(0)
    assert (type(truth), truth) == (int, 7)


def test_other_truths_are_handed_on_as_they_are() -> None:
    truth = Instances.of((2, 4), [[0, 0, 1, 1]], [0])
    assert samples((PICTURE, truth)).truth(0) is truth
    assert samples((PICTURE, 0.5)).truth(0) == 0.5


def test_picture_and_truth_are_of_one_reading() -> None:
    class Random:
        def __init__(self) -> None:
            self.count = 0

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            self.count += 1
            return np.full((1, 1), self.count, np.uint8), self.count

    found = FactorySamples(Random())
    for index in (1, 0, 1):
        assert found.picture(index)[0, 0, 0] == found.truth(index)


@pytest.mark.parametrize("method", ["__len__", "__getitem__"])
def test_an_object_that_is_no_dataset_is_refused(method: str) -> None:
    kind = type("Half", (), {"__len__": lambda self: 1, "__getitem__": lambda self, i: 0})
    delattr(kind, method)
    with pytest.raises(DatasetError, match=f"made a Half, which has no `{method}`"):
        FactorySamples(kind())
    with pytest.raises(DatasetError, match="made a NoneType"):
        FactorySamples(None)


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(DatasetError, match="Named is empty"):
        samples()


@dataclass
class Broken(Listed):
    items: Any = field(default_factory=lambda: [0] * 9)

    def __getitem__(self, index: int) -> Any:
        if index == 4:
            raise KeyError("lost")
        return PICTURE, 0


def test_a_sample_that_raises_is_told_with_the_place_and_the_cause() -> None:
    found = FactorySamples(Broken())
    with pytest.raises(
        DatasetError, match=r"Broken: sample 4 raised KeyError: 'lost' \(.*test_factory\.py, line"
    ) as error:
        found.picture(4)
    assert isinstance(error.value.__cause__, KeyError)
    with pytest.raises(DatasetError, match="sample 4 raised"):
        found.content_hash()


def test_classes_are_numbered_if_only_labels_are_given() -> None:
    assert samples((PICTURE, 0), (PICTURE, 2), labels=[0, 2]).classes == ("0", "1", "2")
    assert samples((PICTURE, 0)).classes == ()
    assert samples((PICTURE, 0)).labels is None


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0.5], [0, -1], "ab", [[0], [1]]])
def test_labels_that_are_not_one_a_sample_are_refused(labels: Any) -> None:
    with pytest.raises(DatasetError, match="`labels` must be 2 whole numbers from 0"):
        samples((PICTURE, 0), (PICTURE, 1), labels=labels)


def test_labels_beyond_the_classes_are_refused() -> None:
    with pytest.raises(DatasetError, match="`labels` go up to 2, but there are 2 `classes`"):
        samples((PICTURE, 0), (PICTURE, 2), labels=[0, 2], classes=["a", "b"])


def test_parts_are_taken_over() -> None:
    found = samples(*[(PICTURE, 0)] * 4, parts={"train": np.asarray([3, 0]), "test": range(1, 3)})
    assert found.parts == {"train": [3, 0], "test": [1, 2]}
    assert samples((PICTURE, 0)).parts is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": [0], "valid": [1]}, r"has the key 'valid'; did you mean 'validation'\?"),
        ({"train": [0, 4]}, "names samples beyond 0 to 3"),
        ({"train": [-1]}, "names samples beyond 0 to 3"),
        ({"train": []}, "must be a list of indices"),
        ({"train": [0.5]}, "must be a list of indices"),
        ({"train": [0, 1], "test": [1, 2]}, "samples in common"),
    ],
)
def test_wrong_parts_are_refused(parts: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        samples(*[(PICTURE, 0)] * 4, parts=parts)


VALUES = [
    0,
    1,
    True,
    0.0,
    "0",
    b"0",
    None,
    [0],
    [[0]],
    [0, 0],
    {"a": 0},
    {"b": 0},
    np.zeros(2),
    np.zeros(2, np.float32),
    np.zeros((2, 1)),
    np.asarray([0.0, 1]),
    Instances.of((2, 4), [[0, 0, 1, 1]], [0]),
    Instances.of((2, 4), [[0, 0, 1, 1]], [0], masks=np.ones((1, 2, 4))),
]


def test_the_hash_tells_truths_and_inputs_apart() -> None:
    hashes = {samples((PICTURE, value)).content_hash() for value in VALUES}
    hashes |= {samples((PICTURE + 1, 0)).content_hash(), samples((PICTURE, 0), (PICTURE, 0)).content_hash()}
    assert len(hashes) == len(VALUES) + 2


def test_equal_samples_have_equal_hashes() -> None:
    assert samples((PICTURE, [0, {"a": 1}])).content_hash() == samples((PICTURE.copy(), [0, {"a": 1}])).content_hash()
    turned = np.asfortranarray(PICTURE)
    assert samples((turned, 0)).content_hash() == samples((PICTURE, 0)).content_hash()
    assert samples((PICTURE.astype(">f8"), 0)).content_hash() == samples((PICTURE.astype("<f8"), 0)).content_hash()


def test_the_hash_of_the_objects_own_is_used() -> None:
    class Own(Listed):
        def content_hash(self) -> str:
            return "version 5"

    first = FactorySamples(Own([(PICTURE, 0)])).content_hash()
    assert first == FactorySamples(Own([(PICTURE, 1)])).content_hash()
    assert len(first) == 64


@pytest.mark.parametrize("value", [object(), {"a": lambda: 0}, np.asarray([object()])])
def test_what_cannot_be_hashed_is_refused_with_the_way_out(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"sample 0: .*Give the object a method `content_hash\(\)`"):
        samples((PICTURE, value)).content_hash()


def test_samples_can_be_pickled() -> None:
    found = samples((PICTURE, 3), (PICTURE + 1, 4), labels=[3, 4])
    found.picture(1)
    copy = pickle.loads(pickle.dumps(found))
    assert np.array_equal(copy.picture(1), PICTURE + 1)
    assert (copy.truth(0), copy.labels, copy.classes) == (3, [3, 4], found.classes)
