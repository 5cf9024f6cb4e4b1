"""Put the stages of every model together."""

from kedro.pipeline import Pipeline

from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compile import pipeline as compile_
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.export import pipeline as export
from edge_pipeline.pipelines.finetune import pipeline as finetune
from edge_pipeline.pipelines.profile import pipeline as profile
from edge_pipeline.pipelines.quantize import pipeline as quantize
from edge_pipeline.pipelines.scorecard import pipeline as scorecard
from edge_pipeline.pipelines.sensitivity import pipeline as sensitivity
from edge_pipeline.pipelines.validate import pipeline as validate


def pipelines(project: Project) -> dict[str, Pipeline]:
    """Return one pipeline per model, `__default__` with those of the default models, and the sensitivity reports.

    The report of a model is the pipeline `<model>.sensitivity`; it takes what the model's pipeline has made.
    """
    found = {name: model_pipeline(name, spec, project) for name, spec in project.models.items()}
    default = [found[name] for name, spec in project.models.items() if spec.default]
    reports = {
        f"{name}.sensitivity": Pipeline(nodes, tags=[name, spec.task])
        for name, spec in project.models.items()
        if (nodes := sensitivity.nodes(name, spec, project.targets(name)))
    }
    return {**found, **reports, "__default__": sum(default, start=Pipeline([]))}


def model_pipeline(model: str, spec: ModelSpec, project: Project) -> Pipeline:
    """Return the pipeline of one model; datasets, parameters and nodes are under the namespace of its name."""
    targets = project.targets(model)
    nodes = finetune.nodes(model, spec, targets)
    for precision in spec.targets.precisions:
        mine = [target for target in targets if target.precision is precision]
        if not mine:
            continue
        nodes += quantize.nodes(model, spec, precision, mine, project.devices)
        nodes += export.nodes(model, spec, precision, mine)
    for target in targets:
        device = project.devices[target.device]
        nodes += compile_.nodes(target, device)
        nodes += profile.nodes(target, device)
        nodes += validate.nodes(spec, target, device)
    nodes += scorecard.nodes(model, spec, targets)
    return Pipeline(nodes, tags=[model, spec.task])
