import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.coco import CocoSamples
from edge_pipeline.datasets.joined import Joined, with_incoming
from edge_pipeline.datasets.spec import CityscapesSpec
from edge_pipeline.datasets.yolo_text import YoloSamples
from edge_pipeline.pipelines.retrain.formats import COCO, YOLO, Head, format_of
from edge_pipeline.pipelines.retrain.incoming import Intake
from edge_pipeline.pipelines.retrain.schedule import NewDataSpec

HEAD = Head(("car", "tree"), False)
Write = Callable[..., Path]


def intake_of(tmp_path: Path, chosen: Any) -> Intake:
    return Intake("m", tmp_path / "kept", chosen, HEAD, 3)


def yolo(folder: Path, picture: Write, labels: dict[str, str | None], seed: int, names: Any = HEAD.classes) -> Path:
    for index, (name, text) in enumerate(labels.items()):
        picture(folder / "images" / f"{name}.png", seed + index, (20, 10))
        if text is not None:
            (folder / "labels").mkdir(exist_ok=True)
            (folder / "labels" / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text(json.dumps({"train": "images", "names": list(names)}))
    return folder


def test_yolo_samples_are_taken_in_and_wrong_labels_are_named(tmp_path: Path, picture: Write) -> None:
    own = YoloSamples(yolo(tmp_path / "own", picture, {"a": "0 .5 .5 .2 .2"}, 1) / "data.yaml", 3, False)
    labels = {
        "good": "1 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.1 0.1\n",
        "nothing": "",
        "class": "2 .5 .5 .2 .2",
        "outside": "0 .5 .5 .2 .2\n0 1.5 .5 .2 .2",
        "unlabelled": None,
    }
    arrived = yolo(tmp_path / "new", picture, labels, 50)
    intake, where = intake_of(tmp_path, YOLO), NewDataSpec(path=str(arrived))
    found = intake.inspect(where, own)
    assert {one.name for one in found.good} == {"images/good.png", "images/nothing.png"}
    reasons = {one.name: one.reason for one in found.broken}
    assert "line 1 of its labels: class 2" in reasons["images/class.png"]
    assert "line 2 of its labels: the coordinate 1.5" in reasons["images/outside.png"]
    assert "an empty file says that nothing is in the picture" in reasons["images/unlabelled.png"]
    intake.take(found, "run")
    joined = with_incoming(own, intake.incoming, 3, masks=False)
    assert isinstance(joined, Joined) and joined.classes == HEAD.classes
    truths = [joined.truth(index) for index in joined.added]
    assert sorted(one.classes.tolist() for one in truths) == [[], [1, 0]]
    assert joined.picture(2).shape == (20, 10, 3)


def test_yolo_samples_with_other_names_of_classes_are_refused_as_a_whole(tmp_path: Path, picture: Write) -> None:
    own = YoloSamples(yolo(tmp_path / "own", picture, {"a": "0 .5 .5 .2 .2"}, 1) / "data.yaml", 3, False)
    arrived = yolo(tmp_path / "new", picture, {"b": "0 .5 .5 .2 .2"}, 5, ("tree", "car"))
    with pytest.raises(DatasetError, match=r"the model's dataset has car, tree"):
        intake_of(tmp_path, YOLO).inspect(NewDataSpec(path=str(arrived / "data.yaml")), own)


def test_an_empty_delivery_is_no_error(tmp_path: Path, picture: Write) -> None:
    own = YoloSamples(yolo(tmp_path / "own", picture, {"a": "0 .5 .5 .2 .2"}, 1) / "data.yaml", 3, False)
    (tmp_path / "new").mkdir()
    found = intake_of(tmp_path, YOLO).inspect(NewDataSpec(path=str(tmp_path / "new")), own)
    assert (found.good, found.broken, found.known) == ((), (), 0)


def coco(folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], names: Any) -> Path:
    folder.mkdir(exist_ok=True)
    categories = [{"id": 7 + index, "name": name} for index, name in enumerate(names)]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def image(folder: Path, number: int, name: str, size: tuple[int, int] = (20, 10), **more: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(hash(name) % 2**32).integers(0, 255, (*size, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return {"id": number, "file_name": name, "height": size[0], "width": size[1], **more}


def box(number: int, of: int, category: int, bbox: Any) -> dict[str, Any]:
    return {"id": number, "image_id": of, "category_id": category, "bbox": bbox, "area": 4, "iscrowd": 0}


def test_coco_samples_are_taken_in_by_the_names_of_their_classes(tmp_path: Path) -> None:
    mine, new = tmp_path / "own", tmp_path / "new"
    place = coco(mine, [image(mine, 1, "a.png")], [box(1, 1, 7, [1, 1, 2, 2])], HEAD.classes)
    own = CocoSamples({"train": (mine, place)}, 3, False)
    images = [
        image(new, 1, "good.png"),
        image(new, 2, "size.png", height=99),
        image(new, 3, "class.png"),
        image(new, 4, "flat.png"),
        image(new, 5, "background.png"),
        {"id": 6, "file_name": "gone.png", "height": 20, "width": 10},
        {"id": 7, "file_name": "../own/a.png", "height": 20, "width": 10},
    ]
    annotations = [
        box(1, 1, 7, [2, 3, 4, 5]),
        box(2, 3, 9, [1, 1, 2, 2]),
        box(3, 4, 8, [1, 1, 2]),
        box(4, 2, 7, [1, 1, 2, 2]),
    ]
    where = NewDataSpec(path=str(coco(new, images, annotations, ("tree", "car", "horse"))))
    intake = intake_of(tmp_path, COCO)
    found = intake.inspect(where, own)
    assert {one.name for one in found.good} == {"good.png", "background.png"}
    reasons = {one.name: one.reason for one in found.broken}
    assert (
        "its labels are for 10x99" in reasons["size.png"] and "'horse' is none of the model's" in reasons["class.png"]
    )
    assert "its labels" in reasons["flat.png"] and "/tmp" not in reasons["flat.png"]
    assert "gone.png" in reasons and "leaves the folder" in reasons["../own/a.png"]
    intake.take(found, "run")
    joined = with_incoming(own, intake.incoming, 3, masks=False)
    truths = sorted((joined.truth(i) for i in joined.added), key=lambda one: len(one.classes))  # type: ignore[attr-defined]
    assert [one.classes.tolist() for one in truths] == [[], [1]]
    assert truths[1].boxes.tolist() == [[2, 3, 6, 8]]
    assert not intake.inspect(where, own).good


def test_a_coco_file_that_is_none_is_one_error(tmp_path: Path) -> None:
    mine = tmp_path / "own"
    place = coco(mine, [image(mine, 1, "a.png")], [box(1, 1, 7, [1, 1, 2, 2])], HEAD.classes)
    own = CocoSamples({"train": (mine, place)}, 3, False)
    (tmp_path / "bad.json").write_text("[1, 2]")
    for path, said in ((tmp_path / "bad.json", "no COCO file of labels"), (tmp_path / "no.json", "cannot read")):
        with pytest.raises(DatasetError, match=said):
            intake_of(tmp_path, COCO).inspect(NewDataSpec(path=str(path)), own)


def test_a_dataset_that_takes_no_new_samples_says_which_do() -> None:
    with pytest.raises(
        DatasetError, match=r"'cityscapes' takes no new samples, only digits, image_folder, yolo, coco do"
    ):
        format_of(CityscapesSpec(type="cityscapes", path="x"))
