"""Networks whose graph is too deep to be copied by recursion."""

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.datasets.spec import AerialScenesSpec
from edge_pipeline.models import recipes
from edge_pipeline.models.checkpoints import state_to_bytes
from edge_pipeline.models.spec import ClassifierSpec
from edge_pipeline.pipelines.finetune.nodes import open_samples
from edge_pipeline.pipelines.quantize.calibration import Inputs
from edge_pipeline.pipelines.quantize.parameters import Qat, QuantizeParameters
from edge_pipeline.pipelines.quantize.techniques import Asked, Subject, layout_of, quantized, retrained


@pytest.mark.slow
def test_a_deep_network_is_trained_and_its_simulation_stays_as_it_was() -> None:
    dataset = AerialScenesSpec(type="aerial_scenes", count=12, size=(65, 65))
    spec = ClassifierSpec(
        recipe="classifier", network="efficientnet_lite0", dataset=dataset, image_shape=(3, 65, 65), classes=6
    )
    net, interface = recipes.recipe(spec).build(spec).eval(), recipes.interface(spec)
    weights = Artifact(
        "weights", {"weights.pt": state_to_bytes(net.state_dict())}, {}, interface.inputs, interface.outputs
    )
    subject = Subject(spec, weights, Inputs(open_samples(spec), interface, range(4), 4), tuple(range(4, 12)))
    parameters = QuantizeParameters(scheme="min_max")
    layout = layout_of(parameters, Asked(Precision.W8A8, "v73", "off", False, "net"), {})
    sim = quantized(subject, parameters, layout)
    before = {name: weight.clone() for name, weight in sim.model.named_parameters()}
    trained = retrained(subject, sim, layout, Qat(steps=1, batch_size=2, learning_rate=0.01), equalize=False)
    after = dict(trained.model.named_parameters())
    assert all(weight.equal(before[name]) for name, weight in sim.model.named_parameters())
    assert not all(after[name].equal(weight) for name, weight in before.items())
