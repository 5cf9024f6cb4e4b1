"""Size and cost of a network, counted without computing anything."""

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError


def complexity(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int]:
    """Return the number of parameters, and of multiply-adds of one evaluation on `inputs`.

    Multiply-adds are those of convolutions, linear layers and other matrix products, half of what PyTorch's
    `FlopCounterMode` counts; norms, activations, additions of a bias or of feature maps are not among them, as in the
    figures that papers give. Shapes alone are followed, so neither `net` nor a large input costs time or memory, and
    both may be on the `meta` device.

    Raises:
        ModelError: the network cannot be followed by shapes alone.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    modes = {module: module.training for module in net.modules()}
    counter = FlopCounterMode(display=False)
    try:
        net.eval()
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
            stand_ins = tuple(fake.from_tensor(tensor) for tensor in inputs)
            with counter:
                net(*stand_ins)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(
            f"the multiply-adds of {type(net).__name__} cannot be counted: {reason}. Its forward() must not depend on "
            "the values of a tensor."
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return sum(parameter.numel() for parameter in net.parameters()), counter.get_total_flops() // 2
