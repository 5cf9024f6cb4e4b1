import io
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.interface import ClassMap
from edge_pipeline.models import ffnet
from edge_pipeline.models.spec import FFNetSpec

SIZES = [(128, 256), (256, 128), (96, 160), (224, 352)]


def spec(recipe: str = "ffnet_40s", size: tuple[int, int] = (128, 256), classes: int = 5) -> FFNetSpec:
    return FFNetSpec.model_validate(
        {
            "recipe": recipe,
            "image_shape": (3, *size),
            "classes": classes,
            "dataset": {"type": "factory", "factory": "user:samples"},
        }
    )


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("recipe", ffnet.DEPTHS)
def test_logits_are_an_eighth_of_the_image_as_declared(recipe: str, size: tuple[int, int]) -> None:
    entry = spec(recipe, size)
    found = ffnet.interface(entry)
    with torch.no_grad():
        logits = ffnet.build(entry).eval()(torch.zeros(found.inputs[0].shape))
    assert tuple(logits.shape) == found.outputs[0].shape == (1, 5, size[0] // 8, size[1] // 8)
    assert (found.inputs[0].name, found.outputs[0].name) == ("image", "logits")
    assert found.postprocessing == ClassMap()


def test_pictures_are_normalised_as_for_imagenet() -> None:
    found = ffnet.interface(spec()).preprocessing
    assert found is not None
    assert (found.size, found.channels) == ((128, 256), 3)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)


def test_every_class_is_decided_by_the_whole_neighbourhood() -> None:
    net = ffnet.build(spec()).eval()
    for norm in net.modules():  # a block that has not been trained passes on its shortcut only
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)
    image = some(1, 3, 128, 256).requires_grad_()
    net(image)[0, 2, 4, 20].backward()
    assert image.grad is not None
    touched = image.grad[0].abs().sum(0) > 0
    assert touched.float().mean() > 0.9


@pytest.mark.parametrize(("size", "closest"), [((64, 256), "96x256"), ((100, 256), "96x256"), ((128, 250), "128x256")])
@pytest.mark.parametrize("function", [ffnet.build, ffnet.interface])
def test_sizes_that_the_network_does_not_take_are_refused(function: Any, size: tuple[int, int], closest: str) -> None:
    entry = spec().model_copy(update={"image_shape": (3, *size)})
    with pytest.raises(ModelError, match=f"ffnet_40s does not take images of {size[0]}x{size[1]} .*{closest}"):
        function(entry)


def test_the_smallest_image_can_be_learned_from_alone() -> None:
    entry = spec(size=(96, 96))
    net = ffnet.build(entry).train()
    loss = ffnet.criterion(net, entry)((net(some(1, 3, 96, 96)),), [np.zeros((96, 96), np.uint8)])
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_few_steps_learn_a_pattern() -> None:
    torch.manual_seed(0)
    entry = spec(size=(96, 96), classes=2)
    net = ffnet.build(entry).train()
    truth = np.zeros((96, 96), np.uint8)
    truth[:, 48:] = 1
    images = some(2, 3, 96, 96) * 0.1 + torch.from_numpy(truth).float()
    criterion = ffnet.criterion(net, entry)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    losses = []
    for _ in range(7):
        loss = criterion((net(images),), [truth, truth])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(np.log(2), abs=0.2)
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_is_the_mean_over_labelled_pixels() -> None:
    logits = some(2, 3, 4, 6)
    truths = np.random.default_rng(0).integers(0, 3, (2, 32, 48)).astype(np.uint8)
    truths[0, :20] = 255
    loss = ffnet.criterion(nn.Identity(), spec(classes=3))((logits,), list(truths))
    enlarged = F.interpolate(logits, (32, 48), mode="bilinear", align_corners=False).log_softmax(1).numpy()
    picked = np.take_along_axis(enlarged, np.where(truths == 255, 0, truths)[:, None].astype(np.int64), 1)[:, 0]
    assert float(loss) == pytest.approx(float(-picked[truths != 255].mean()), rel=1e-5)


def test_a_batch_without_labels_teaches_nothing() -> None:
    logits = some(1, 3, 4, 4).requires_grad_()
    loss = ffnet.criterion(nn.Identity(), spec(classes=3))((logits,), [np.full((32, 32), 255, np.uint8)])
    loss.backward()
    assert float(loss) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0


def test_sizes_of_whole_factors_are_exported_without_computing_a_shape() -> None:
    net = ffnet.build(spec(size=(128, 192))).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, 128, 192),), file, opset_version=17, dynamo=False)
    graph = onnx.load_from_string(file.getvalue()).graph
    operators = {node.op_type for node in graph.node}
    assert operators - {"Identity", "Constant"} == {"Conv", "Relu", "Add", "Resize", "Concat"}
    assert sum(node.op_type == "Concat" for node in graph.node) == 1


def test_other_sizes_inside_are_fixed() -> None:
    enlargements = [one for one in ffnet.build(spec(size=(96, 160))).modules() if isinstance(one, nn.Upsample)]
    assert len(enlargements) == 6
    assert {one.size for one in enlargements if one.size} == {(3, 5), (12, 20)}


def test_each_activation_is_a_module_of_its_own() -> None:
    calls: dict[int, int] = {}
    net = ffnet.build(spec(size=(96, 96))).eval()
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda one, *_: calls.update({id(one): calls.get(id(one), 0) + 1}))
    with torch.no_grad():
        net(torch.zeros(1, 3, 96, 96))
    assert set(calls.values()) == {1}
    assert len(calls) == sum(isinstance(module, nn.ReLU) for module in net.modules())


def test_an_untrained_network_is_close_to_its_shortcuts() -> None:
    net = ffnet.build(spec()).eval()
    with torch.no_grad():
        assert float(net(some(1, 3, 128, 256)).abs().max()) < 10


def test_balance_lets_rare_classes_count_more() -> None:
    labels = [np.zeros((128, 256), np.uint8)]
    labels[0][:4, :4] = 1
    logits = torch.zeros(1, spec().classes, 16, 32)
    logits[:, 0] = 5  # right almost everywhere, wrong about the rare class
    net = nn.Identity()
    plain = ffnet.criterion(net, spec())((logits,), labels)
    balanced = ffnet.criterion(net, spec().model_copy(update={"balance": True}))((logits,), labels)
    assert float(balanced) > 1.4 * float(plain)
