import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_pipeline.core.errors import DatasetError, RetrainError
from edge_pipeline.datasets.image_folder import ImageFolder
from edge_pipeline.datasets.joined import BATCH, batches, with_incoming
from edge_pipeline.pipelines.retrain.incoming import Intake
from edge_pipeline.pipelines.retrain.schedule import NewDataSpec

Write = Callable[..., Path]


@pytest.fixture
def delivery(arrivals: NewDataSpec, picture: Write) -> Path:
    """Three good pictures, and one of each kind that is not."""
    folder = Path(arrivals.path)
    for index in range(3):
        picture(folder / "dog" / f"new{index}.png", 1000 + index)
    (folder / "dog" / "empty.png").write_bytes(b"")
    whole = picture(folder / "cat" / "cut.png", 7, (64, 64)).read_bytes()
    (folder / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    picture(folder / "horse" / "unknown.png", 1010)
    picture(folder / "lost.png", 1011)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_every_file_is_checked_and_nothing_is_written(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    found = intake.inspect(arrivals, own)
    assert [one.name for one in found.good] == ["dog/new0.png", "dog/new1.png", "dog/new2.png"]
    reasons = {one.name: one.reason for one in found.broken}
    assert set(reasons) == {"dog/empty.png", "cat/cut.png", "horse/unknown.png", "lost.png"}
    assert "cannot read the image" in reasons["dog/empty.png"] and "0x" not in reasons["dog/empty.png"]
    assert "'horse' is no class of the model" in reasons["horse/unknown.png"]
    assert "no folder that names its class" in reasons["lost.png"]
    assert not intake.folder.exists()


def test_broken_files_go_to_quarantine_and_stay_in_the_source(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    before = {path: path.read_bytes() for path in delivery.rglob("*") if path.is_file()}
    batch = intake.take(intake.inspect(arrivals, own), "run1")
    assert {path: path.read_bytes() for path in delivery.rglob("*") if path.is_file()} == before
    aside = {
        path.name: json.loads((path.parent / "reason.json").read_text()) for path in intake.quarantine.rglob("*.png")
    }
    assert set(aside) == {"empty.png", "cut.png", "unknown.png", "lost.png"}
    assert aside["unknown.png"]["run"] == "run1" and "horse" in aside["unknown.png"]["reason"]
    (folder, content), = batches(intake.incoming)  # fmt: skip
    assert folder.name == batch and sorted(content["samples"].values()) == [f"dog/new{i}.png" for i in range(3)]
    again = intake.inspect(arrivals, own)
    assert not again.good and not again.broken and again.known == 7


def test_the_new_samples_join_the_dataset_under_their_class(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    intake.take(intake.inspect(arrivals, own), "run1")
    joined = with_incoming(own, intake.incoming, 3, masks=False)
    assert len(joined) == len(own) + 3
    assert [joined.truth(len(own) + i) for i in range(3)] == [own.classes.index("dog")] * 3


def test_taking_twice_makes_one_batch(delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder) -> None:
    found = intake.inspect(arrivals, own)
    assert intake.take(found, "run1") == intake.take(found, "run2")
    assert len(batches(intake.incoming)) == 1
    assert not list(intake.folder.glob(".taking*"))


def test_half_a_batch_of_a_killed_process_is_no_batch(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    name = intake.take(intake.inspect(arrivals, own), "run1")
    (intake.incoming / str(name) / BATCH).unlink()
    (intake.folder / ".taking.123").mkdir()
    found = intake.inspect(arrivals, own)
    assert len(found.good) == 3
    assert intake.take(found, "run1") == name
    assert len(with_incoming(own, intake.incoming, 3, masks=False)) == len(own) + 3
    assert not list(intake.folder.glob(".taking*"))


def test_a_picture_of_the_dataset_is_known_even_under_another_name(
    tmp_path: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    (Path(arrivals.path) / "cat").mkdir()
    shutil.copy(own.name(0), Path(arrivals.path) / "cat" / "leak.png")
    found = intake.inspect(arrivals, own)
    assert (found.good, found.broken, found.known) == ((), (), 1)


def test_one_picture_with_two_labels_is_trusted_with_neither(
    arrivals: NewDataSpec, intake: Intake, own: ImageFolder, picture: Write
) -> None:
    picture(Path(arrivals.path) / "cat" / "a.png", 5000)
    picture(Path(arrivals.path) / "dog" / "b.png", 5000)
    picture(Path(arrivals.path) / "dog" / "c.png", 5001)
    picture(Path(arrivals.path) / "dog" / "same.png", 5001)
    found = intake.inspect(arrivals, own)
    assert [one.name for one in found.good] == ["dog/c.png"]
    assert {one.name for one in found.broken} == {"cat/a.png", "dog/b.png"}


def test_a_corrected_file_is_taken_in_later(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    intake.take(intake.inspect(arrivals, own), "run1")
    (delivery / "lost.png").rename(delivery / "cat" / "found.png")
    assert [one.name for one in intake.inspect(arrivals, own).good] == ["cat/found.png"]


def test_too_much_broken_is_one_clear_error(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder
) -> None:
    found = intake.inspect(arrivals, own)
    found.require(3 / 7)
    with pytest.raises(RetrainError, match=r"only 3 of 7 new files can be used \(43%, at least 90%.*min_good_fraction"):
        found.require(0.9)


def test_a_file_that_changes_meanwhile_stops_the_intake(
    delivery: Path, arrivals: NewDataSpec, intake: Intake, own: ImageFolder, picture: Write
) -> None:
    found = intake.inspect(arrivals, own)
    picture(delivery / "dog" / "new1.png", 4)
    with pytest.raises(RetrainError, match=r"new1\.png changed while"):
        intake.take(found, "run1")
    assert not batches(intake.incoming)


def test_a_store_is_watched_as_a_folder_is(intake: Intake, own: ImageFolder, picture: Write, tmp_path: Path) -> None:
    import fsspec

    content = picture(tmp_path / "one.png", 9000).read_bytes()
    fsspec.filesystem("memory").pipe("/arrived/dog/one.png", content)
    found = intake.inspect(NewDataSpec(path="memory://arrived"), own)
    assert [one.name for one in found.good] == ["dog/one.png"]
    assert intake.take(found, "run1")


def test_a_watched_folder_that_is_not_there_is_an_error(intake: Intake, own: ImageFolder, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"folder of new samples .* does not exist"):
        intake.inspect(NewDataSpec(path=str(tmp_path / "nowhere")), own)
