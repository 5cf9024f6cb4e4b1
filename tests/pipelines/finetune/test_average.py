import torch
from torch import nn

from edge_pipeline.pipelines.finetune.average import averaged


def test_the_average_follows_the_weights_the_faster_the_younger_it_is() -> None:
    net = nn.Linear(1, 1)
    nn.init.zeros_(net.weight)
    average = averaged(net, 0.999)
    average.update_parameters(net)
    nn.init.ones_(net.weight)
    values = []
    for _ in range(50):
        average.update_parameters(net)
        values.append(float(average.module.weight))
    assert values[0] > 0.5
    assert values == sorted(values)
    assert 0.9 < values[-1] < 1


def test_no_decay_is_the_weights_themselves() -> None:
    net = nn.Linear(2, 2)
    average = averaged(net, 0.0)
    for _ in range(3):
        nn.init.normal_(net.weight)
        average.update_parameters(net)
        assert torch.equal(average.module.weight, net.weight)


def test_statistics_of_batch_norms_are_averaged_and_their_count_is_kept() -> None:
    net = nn.BatchNorm1d(1, momentum=1.0)
    average = averaged(net, 0.9)
    average.update_parameters(net)
    net(torch.tensor([[10.0], [12.0]]))
    average.update_parameters(net)
    assert 0 < float(average.module.running_mean) < 11
    assert int(average.module.num_batches_tracked) == 1
