"""One training of a model from new samples to the fleet, step by step; it goes on where a killed one stopped."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_pipeline.core.errors import EdgePipelineError, RetrainError
from edge_pipeline.pipelines.retrain import steps as commands
from edge_pipeline.pipelines.retrain.incoming import Found, Intake, summary
from edge_pipeline.pipelines.retrain.journal import Journal, LastRun, OpenRun, Outcome, State, new_id, now
from edge_pipeline.pipelines.retrain.report import Report
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec

GROUP = "EDGE_PIPELINE_RUN_GROUP"
"""Variable that gives the MLflow runs of all steps one tag `run_group`."""

TAKE = "take"
"""The step that takes new samples in."""


class StepFailedError(RetrainError):
    """A step failed; the training is not over."""

    def __init__(self, step: str, message: str, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.step, self.tail = step, tail


class RefusedError(StepFailedError):
    """The gate refuses the new model; the training is over."""


@dataclass(frozen=True)
class Job:
    """What one command does to a model whose lock it holds.

    Attributes:
        root: the project's folder.
        model: name in models.yml.
        spec: its entry in schedule.yml.
        env: the run environment.
        journal: its state.
        intake: its new samples; `None` if it gets none.
        look: inspects the watched folder.
        start: returns the weights to begin with, as the project names them, of the champion of a version; perhaps
            none.
        say: prints a line.
        kedro: the command that the steps are arguments of.
    """

    root: Path
    model: str
    spec: ScheduleSpec
    env: str | None
    journal: Journal
    intake: Intake | None
    look: Callable[[], Found]
    start: Callable[[int | None], str | None]
    say: Callable[[str], None]
    kedro: Sequence[str] = commands.KEDRO

    def begin(self, reasons: Sequence[str], numbers: Mapping[str, float], champion: int | None) -> OpenRun:
        """Note that a training begins."""
        run = OpenRun(id=new_id(), started=now(), reasons=tuple(reasons), numbers=dict(numbers), champion=champion)
        self._note(run)
        return run

    def forget(self) -> None:
        """Forget a training that is not over; what it took in counts as new."""
        self.journal.write(self.journal.read().model_copy(update={"open": None}))

    def close(self, run: OpenRun, outcome: Outcome) -> None:
        """Note that a training is over, and that its samples are used."""
        used = tuple(self.intake.taken()) if self.intake else self.journal.read().used
        self.journal.write(State(last=LastRun(id=run.id, ended=now(), outcome=outcome), used=used))

    def scratch(self, run: OpenRun) -> Path:
        """Return the folder of a training's logs."""
        return self.journal.path.parent / "retrain" / run.id

    def perform(self) -> OpenRun:
        """Do every step that is not done.

        Raises:
            RefusedError: the gate refuses the new model.
            StepFailedError: a step failed.
        """
        run = self._open()
        if TAKE not in run.done:
            try:
                run = self._taken(run)
            except EdgePipelineError as error:
                raise StepFailedError(TAKE, str(error)) from error
        if run.start is None and "train" not in run.done:
            run = run.model_copy(update={"start": self._start(run)})
            self._note(run)
        given = [("finetune.checkpoint", run.start)] if run.start else []
        junit = self.scratch(run) / "gate.xml"
        parameters = [*given, *self.spec.parameters.items()]
        for step in commands.steps(self.model, self.spec, self.env, parameters, junit.relative_to(self.root)):
            if step.name in run.done:
                self.say(f"{step.name}: done before")
                continue
            run = self._step(run, step, junit)
        return run

    def report(self, outcome: str, error: Exception | None = None) -> Report:
        """Return what the training came to."""
        run = self.journal.read().open
        again = f"kedro edge retrain {self.model}{f' --env {self.env}' if self.env else ''}"
        step = getattr(error, "step", None)
        following = {
            "released": None,
            "refused": "look at the broken rules; the next training begins when a trigger fires",
            "failed": f"`{again}` goes on with what failed"
            + (f"; with --restart it forgets the training {run.id}" if run else ""),
        }[outcome]
        return Report(
            self.model,
            run.id if run else "",
            outcome,
            run.started if run else now(),
            now(),
            run.reasons if run else (),
            run.start if run else None,
            run.arrived if run else None,
            run.done if run else {},
            step,
            str(error) if error else None,
            tuple(getattr(error, "tail", ())),
            following,
        )

    def _open(self) -> OpenRun:
        run = self.journal.read().open
        assert run
        return run

    def _note(self, run: OpenRun) -> None:
        self.journal.write(self.journal.read().model_copy(update={"open": run}))

    def _taken(self, run: OpenRun) -> OpenRun:
        before = self.intake.of_run(run.id) if self.intake else None
        if before:
            run = run.model_copy(update={"arrived": before})
        elif self.intake and self.spec.new_data:
            found = self.look()
            found.require(self.spec.new_data.min_good_fraction)
            batch = self.intake.take(found, run.id)
            run = run.model_copy(update={"arrived": summary(found, batch)})
            self.say(
                f"new samples: {len(found.good)} taken in, {found.known} known already, {len(found.broken)} broken"
                + (f" (copied to {self.intake.quarantine})" if found.broken else "")
            )
        run = run.model_copy(update={"done": {**run.done, TAKE: 0.0}})
        self._note(run)
        return run

    def _start(self, run: OpenRun) -> str | None:
        try:
            return self.start(run.champion)
        except EdgePipelineError as error:
            raise StepFailedError("train", str(error)) from error

    def _step(self, run: OpenRun, step: commands.Step, junit: Path) -> OpenRun:
        self.say(f"{step.name}: {step}")
        if step.name == "gate":
            junit.unlink(missing_ok=True)
        log, variables = self.scratch(run) / f"{step.name}.log", {GROUP: os.environ.get(GROUP) or run.id}
        variables |= {"KEDRO_ENV": self.env} if self.env else {}
        ended = commands.run_step(step, self.root, log, self.say, self.kedro, variables)
        if ended.status != 0:
            broken = commands.refusals(junit) if step.name == "gate" else []
            if broken:
                lines = "".join(f"\n  - {one}" for one in broken)
                raise RefusedError("gate", f"{self.model}: {len(broken)} rules of its gate are broken:{lines}")
            how = f"died of signal {-ended.status}" if ended.status < 0 else f"ended with exit status {ended.status}"
            why = next((line for line in reversed(ended.tail) if line.startswith("Error: ")), "")
            said = f": {why.removeprefix('Error: ')}" if why else ""
            raise StepFailedError(step.name, f"{self.model}: `{step}` {how}{said}", ended.tail)
        run = run.model_copy(update={"done": {**run.done, step.name: ended.seconds}})
        self._note(run)
        return run
