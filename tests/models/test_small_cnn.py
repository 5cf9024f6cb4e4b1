from typing import Any

import pytest

from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ModelSpec


@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 10), ((3, 32, 48), 2), ((3, 7, 5), 1000)])
def test_the_network_takes_the_declared_images_and_gives_a_logit_for_each_class(
    shape: tuple[int, int, int], classes: int
) -> None:
    spec = ModelSpec(recipe="small_cnn", image_shape=shape, classes=classes)
    batch = classifier.dummy_input(spec).repeat(3, 1, 1, 1)
    assert tuple(batch.shape) == (3, *shape)
    assert tuple(classifier.build(spec).eval()(batch).shape) == (3, classes)


def test_an_image_is_judged_the_same_alone_and_in_a_batch(net: Any, digits: Any) -> None:
    import torch

    batch = torch.from_numpy(digits.image(0)).repeat(5, 1, 1, 1)
    with torch.no_grad():
        assert torch.allclose(net(batch)[2], net(batch[:1])[0], atol=1e-5)
