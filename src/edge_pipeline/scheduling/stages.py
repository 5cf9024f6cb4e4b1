"""A training in parts, each a process of its own, which a scheduler with a graph of tasks runs one after the other.

They share the journal of `kedro edge retrain`: what is done is not done again, by whichever of both it was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.retrain import steps as commands
from edge_pipeline.pipelines.retrain.job import TAKE, Job
from edge_pipeline.pipelines.retrain.journal import OpenRun
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec

NOTHING = 99
"""Exit status of the first part when no trigger fires: Airflow then skips the others."""


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        name: of the task.
        doc: what is said of it.
        tags: of Kedro's nodes, if it is a part of the step `train`.
        steps: of `kedro edge retrain` otherwise.
        again: whether another try may end otherwise.
    """

    name: str
    doc: str
    tags: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    again: bool = True

    @property
    def done(self) -> tuple[str, ...]:
        """The names in the journal by which it is done."""
        return self.steps or (f"train.{self.name}",)


BEGIN = Stage("begin", "Look at the triggers of schedule.yml; if one fires, take new samples in.", steps=(TAKE,))
_STAGES = (
    BEGIN,
    Stage("train", "Divide the samples and train from the champion's weights.", ("split", "finetune")),
    Stage("quantize", "Quantize for every precision, and export to ONNX.", ("quantize", "export")),
    Stage(
        "measure",
        "Compile for every target, measure and validate it on its device, put all side by side.",
        ("compile", "profile", "validate", "scorecard"),
    ),
    Stage("gate", "Judge the targets by gates.yml; what breaks a rule is not released.", steps=("gate",), again=False),
    Stage("release", "Make the signed release, and the champion of it.", steps=("release", "promote")),
    Stage("deploy", "Put the release on the boards of `fleet`.", steps=("deploy",)),
)


def stages(spec: ScheduleSpec) -> tuple[Stage, ...]:
    """Return the parts of a training in their order."""
    return _STAGES if spec.deploy == "after_gate" else _STAGES[:-1]


@dataclass(frozen=True)
class StagedJob(Job):
    """A training that is done part by part."""

    @classmethod
    def of(cls, job: Job) -> "StagedJob":
        """Return the same training."""
        return cls(**{field.name: getattr(job, field.name) for field in fields(job)})

    def perform_stage(self, stage: Stage) -> None:
        """Do one part, unless it is done.

        Raises:
            RefusedError: the gate refuses the new model.
            RetrainError: no training is going on, or an earlier part is not done.
            StepFailedError: it failed.
        """
        run = self.journal.read().open
        if run is None:
            raise RetrainError(f"no training of '{self.model}' is going on: the part '{BEGIN.name}' begins one")
        if _is_done(stage, run):
            self.say(f"{stage.name}: done before")
            return
        order = stages(self.spec)
        missing = [one.name for one in order[: order.index(stage)] if not _is_done(one, run)]
        if missing:
            raise RetrainError(f"{self.model}: '{stage.name}' comes after '{missing[0]}', which is not done")
        if stage is BEGIN:
            self._taken(run)
            return
        if run.start is None and "train" not in run.done:
            run = run.model_copy(update={"start": self._start(run)})
            self._note(run)
        junit = self.scratch(run) / "gate.xml"
        for step in self._steps_of(stage, run):
            if step.name not in run.done:
                run = self._step(run, step, junit)
        if stage.tags and all(_is_done(one, run) for one in order if one.tags):
            parts = {name: seconds for name, seconds in run.done.items() if name.startswith("train.")}
            rest = {name: seconds for name, seconds in run.done.items() if name not in parts}
            self._note(run.model_copy(update={"done": {**rest, "train": sum(parts.values())}}))

    def _steps_of(self, stage: Stage, run: OpenRun) -> Sequence[commands.Step]:
        given = [("finetune.checkpoint", run.start)] if run.start else []
        junit = (self.scratch(run) / "gate.xml").relative_to(self.root)
        parameters = [*given, *self.spec.parameters.items()]
        every = commands.steps(self.model, self.spec, self.env, parameters, junit)
        if not stage.tags:
            return [one for one in every if one.name in stage.steps]
        (train,) = (one for one in every if one.name == "train")
        return [commands.Step(stage.done[0], (*train.arguments, "--tags", ",".join(stage.tags)))]


def _is_done(stage: Stage, run: OpenRun) -> bool:
    return all(name in run.done for name in stage.done) or (bool(stage.tags) and "train" in run.done)
