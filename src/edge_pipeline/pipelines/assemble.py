"""Wire the stages of a model into one namespaced Kedro pipeline."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from kedro.pipeline import Node, Pipeline

from edge_pipeline.core.types import Precision, Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.export.nodes import export
from edge_pipeline.pipelines.finetune.nodes import finetune, split
from edge_pipeline.pipelines.profile.nodes import profile
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.scorecard.nodes import scorecard
from edge_pipeline.pipelines.validate.nodes import validate


def pipelines(project: Project) -> dict[str, Pipeline]:
    """Return one pipeline per model, and `__default__` with those of the default models."""
    found = {name: model_pipeline(name, spec, project) for name, spec in project.models.items()}
    default = [found[name] for name, spec in project.models.items() if spec.default]
    return {**found, "__default__": sum(default, start=Pipeline([]))}


def model_pipeline(model: str, spec: ModelSpec, project: Project) -> Pipeline:
    """Return the pipeline of one model; datasets, parameters and nodes are under the namespace of its name."""
    targets = spec.expand(model)
    nodes = [
        _node(model, "split", bind(split, spec=spec, subject=model), ["params:split"], ["split"], targets),
        _node(
            model,
            "finetune",
            bind(finetune, spec=spec, subject=model),
            ["split", "checkpoints", "params:finetune"],
            ["weights"],
            targets,
        ),
    ]
    for precision in dict.fromkeys(target.precision for target in targets):
        nodes += _precision_nodes(model, spec, precision, targets)
    for target in targets:
        nodes += _target_nodes(spec, target, project)
    results = [f"{target.slug}.{kind}" for target in targets for kind in ("profile", "validation")]
    nodes.append(
        _node(
            model,
            "scorecard",
            bind(scorecard, targets=targets),
            ["weights", *results],
            ["scorecard", "confusion", "latency"],
            targets,
        )
    )
    return Pipeline(nodes, tags=[model, spec.task])


def bind(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """Return `function` with the keyword arguments `fixed`, its name, hints and remaining signature kept for Kedro."""

    @functools.wraps(function)
    def bound(*args: Any) -> Any:
        return function(*args, **fixed)

    signature = inspect.signature(function)
    rest = [p for name, p in signature.parameters.items() if name not in fixed]
    bound.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return bound


def _precision_nodes(model: str, spec: ModelSpec, precision: Precision, targets: Iterable[Target]) -> list[Node]:
    mine = [target for target in targets if target.precision is precision]
    fixed = {"spec": spec, "subject": f"{model}/{precision}"}
    source, nodes = "weights", []
    if precision is not Precision.FLOAT:
        source = f"{precision}.simulation"
        inputs = ["split", "weights", "params:quantize"]
        nodes.append(_node(model, f"{precision}.quantize", bind(quantize, **fixed), inputs, [source], mine))
    inputs = ["split", "weights", source, "params:export"]
    function = bind(export, **fixed, precision=precision)
    return [*nodes, _node(model, f"{precision}.export", function, inputs, [f"{precision}.exported"], mine)]


def _target_nodes(spec: ModelSpec, target: Target, project: Project) -> list[Node]:
    exported, compiled = f"{target.precision}.exported", f"{target.slug}.compiled"
    on_device = {"device": project.devices[target.device], "target": target, "subject": target.name}
    stages: list[tuple[str, Callable[..., Any], list[str], str]] = [
        ("compile", bind(compile, target=target, subject=target.name), [exported], "compiled"),
        ("profile", bind(profile, **on_device), [exported, compiled], "profile"),
        ("validate", bind(validate, **on_device, spec=spec), ["split", exported, compiled], "validation"),
    ]
    return [
        _node(
            target.model,
            f"{target.slug}.{stage}",
            function,
            [*inputs, f"params:{stage}"],
            [f"{target.slug}.{output}"],
            [target],
        )
        for stage, function, inputs, output in stages
    ]


def _node(
    model: str,
    name: str,
    function: Callable[..., Any],
    inputs: list[str],
    outputs: list[str],
    targets: Iterable[Target],
) -> Node:
    """Return a node whose names are under the model's; `name` is `stage` or `group.stage`.

    Its tags are the stage and whatever depends on it, so that `--tags w8a8` runs all that w8a8 targets need.
    """
    group, _, stage = f"{model}.{name}".rpartition(".")
    return Node(
        function,
        [f"params:{model}.{i[7:]}" if i.startswith("params:") else f"{model}.{i}" for i in inputs],
        [f"{model}.{output}" for output in outputs] if len(outputs) > 1 else f"{model}.{outputs[0]}",
        name=stage,
        namespace=group,
        tags={stage} | {str(tag) for t in targets for tag in (t.device, t.runtime, t.precision)},
    )
