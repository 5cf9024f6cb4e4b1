"""Name, namespace and tag the Kedro nodes of a model."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kedro.pipeline import Node

from edge_pipeline.core.types import Target


def stage_node(
    model: str,
    name: str,
    function: Callable[..., Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    targets: Iterable[Target],
) -> Node:
    """Return a node whose names are under the model's.

    Args:
        model: the namespace.
        name: `stage`, or `group.stage` where group is a precision or a target's slug.
        function: takes `inputs` in their order.
        inputs: names of datasets and `params:...`, without the model's name.
        outputs: names of datasets, without the model's name.
        targets: those that need this node. Its tags are the stage and their devices, runtimes and precisions, so
            that `--tags w8a8` runs all that w8a8 targets need.
    """
    group, _, stage = f"{model}.{name}".rpartition(".")
    made = [f"{model}.{output}" for output in outputs]
    return Node(
        function,
        [f"params:{model}.{i.removeprefix('params:')}" if i.startswith("params:") else f"{model}.{i}" for i in inputs],
        made if len(made) > 1 else made[0],
        name=stage,
        namespace=group,
        tags={stage} | {str(tag) for t in targets for tag in (t.device, t.runtime, t.precision)},
    )


def bind(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """Return `function` with the keyword arguments `fixed`; Kedro sees its name, hints and remaining signature.

    The argument `device` is left as an attribute too: the runner wants to know where a node works.
    """

    @functools.wraps(function)
    def bound(*args: Any) -> Any:
        return function(*args, **fixed)

    signature = inspect.signature(function)
    rest = [p for name, p in signature.parameters.items() if name not in fixed]
    bound.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    bound.device = fixed.get("device")  # type: ignore[attr-defined]
    return bound
