"""A dataset that cannot be used gives one clear message."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(project):
    """Two classes of ten images each, and a project that uses them."""
    generator = np.random.default_rng(0)
    for name, value in (("dark", 40), ("light", 200)):
        path = project.root / "images" / name
        path.mkdir(parents=True)
        for index in range(20):
            pixels = np.clip(generator.normal(value, 20, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / f"{index:02}.png")
    configure(project)
    return project.root / "images"


def configure(project, **more):
    project.configure({"dataset": {"type": "image_folder", "path": "images"}, "classes": 2, **more})


def test_a_folder_of_images_is_a_dataset(project, folder):
    result = project.kedro("run").succeeded()
    assert "digits@host/onnx/float" in result.output


def test_a_folder_that_does_not_exist(project):
    configure(project)
    project.kedro("run").refused(f"models.yml: digits.dataset.path: {project.root}/images does not exist")
    assert project.data() == []


def test_an_unreadable_image_is_named(project, folder):
    broken = folder / "dark" / "03.png"
    broken.write_bytes(broken.read_bytes()[:40])
    project.kedro("run").refused("cannot read the image", str(broken))
    assert project.statuses()["digits@host/onnx/float"] == "FAILED"


def test_an_image_of_another_size_is_named(project, folder):
    Image.new("L", (9, 8)).save(folder / "light" / "07.png")
    configure(project, preprocessing={"fit": "exact"})
    project.kedro("run").refused("07.png", "it is 9x8 pixels, the model takes 8x8", "preprocessing.fit")


def test_images_of_another_size_are_resized(project, folder):
    Image.new("L", (9, 8)).save(folder / "light" / "07.png")
    configure(project)
    project.kedro("run").succeeded()


def test_a_class_without_enough_images(project, folder):
    for image in sorted((folder / "dark").iterdir())[2:]:
        image.unlink()
    project.kedro("run").refused("class 'dark' has 2 images", "at least 3")


def test_another_number_of_classes_than_the_network_has(project, folder):
    project.configure({"dataset": {"type": "image_folder", "path": "images"}, "classes": 3})
    project.kedro("run").refused("the dataset has 2 classes (dark, light), the network's head has 3")
