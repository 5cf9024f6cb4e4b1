import pytest
import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ClassifierSpec


@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 10), ((3, 32, 48), 2), ((3, 7, 5), 1000)])
def test_the_network_takes_the_declared_images_and_gives_a_logit_for_each_class(
    shape: tuple[int, int, int], classes: int
) -> None:
    spec = ClassifierSpec(recipe="classifier", image_shape=shape, classes=classes)
    found = classifier.interface(spec)
    assert found.inputs[0].shape == (1, *shape)
    assert found.outputs[0].shape == (1, classes)
    batch = torch.zeros(found.inputs[0].shape).repeat(3, 1, 1, 1)
    assert tuple(classifier.build(spec).eval()(batch).shape) == (3, classes)


def test_an_image_is_judged_the_same_alone_and_in_a_batch() -> None:
    net = classifier.build(ClassifierSpec(recipe="classifier")).eval()
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net(image.repeat(5, 1, 1, 1))[2], net(image)[0], atol=1e-5)


def test_pixels_are_only_scaled() -> None:
    preprocessing = classifier.interface(ClassifierSpec(recipe="classifier")).preprocessing
    assert preprocessing is not None
    assert (preprocessing.mean, preprocessing.std) == ((0.0,), (1.0,))


def test_the_names_of_its_weights_stay() -> None:
    state = classifier.build(ClassifierSpec(recipe="classifier")).state_dict()
    assert {"features.0.0.weight", "features.0.1.running_mean", "features.3.1.bias", "head.weight", "head.bias"} <= set(
        state
    )


def test_trained_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ModelError, match="no trained weights of small_cnn"):
        classifier.build(ClassifierSpec(recipe="classifier", pretrained=True))
