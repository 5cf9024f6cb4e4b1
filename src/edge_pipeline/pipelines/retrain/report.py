"""What a training came to, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_pipeline.core.files import write_atomically
from edge_pipeline.pipelines.retrain.notify import Message


@dataclass(frozen=True)
class Report:
    """A training, over or not.

    Attributes:
        model: name in models.yml.
        run: name of the training; empty if none began.
        outcome: `released`, `refused` or `failed`.
        started: when, as text.
        ended: when, as text.
        reasons: the triggers.
        start: the weights that it started from.
        arrived: what is said of new samples; see `incoming.summary`.
        steps: seconds that each finished step took.
        step: the step that failed or refused.
        problem: why.
        tail: the last lines of that step.
        next: what to do.
    """

    model: str
    run: str
    outcome: str
    started: str
    ended: str
    reasons: Sequence[str] = ()
    start: str | None = None
    arrived: Mapping[str, Any] | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    step: str | None = None
    problem: str | None = None
    tail: Sequence[str] = ()
    next: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anybody should look at it."""
        return self.outcome != "released"

    @property
    def line(self) -> str:
        """The report in one line."""
        what = {
            "released": "was trained again and released",
            "refused": "was trained again, and its gate refuses it; the champion stays",
            "failed": "could not be trained again" + (f": {self.step} failed" if self.step else ""),
        }[self.outcome]
        return f"{self.model} {what}"

    def markdown(self) -> str:
        """Return it for people."""
        parts = [f"# {self.line}", ""]
        parts += [f"- training: {self.run or 'none began'}", f"- began: {self.started}", f"- ended: {self.ended}"]
        parts += [f"- trigger: {reason}" for reason in self.reasons]
        parts += [f"- started from: {self.start}"] if self.start else []
        if self.problem:
            parts += ["", "## What went wrong", "", self.problem]
        if self.next:
            parts += ["", f"Next: {self.next}"]
        if self.tail:
            parts += ["", "The last lines of this step:", "", *(f"    {line}" for line in self.tail)]
        if self.steps:
            parts += ["", "## Steps", "", "| step | seconds |", "| --- | ---: |"]
            parts += [f"| {name} | {seconds:.1f} |" for name, seconds in self.steps.items()]
        if self.arrived:
            parts += ["", "## New samples", ""]
            parts += [f"{self.arrived['good']} new and good, {self.arrived['known']} known already."]
            broken = self.arrived["broken"]
            parts += ["", f"Broken files, copied to quarantine: {len(broken)}", ""] if broken else []
            parts += [f"- `{one['file']}`: {one['reason']}" for one in broken]
        return "\n".join(parts) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return it for machines."""
        return asdict(self)

    def message(self) -> Message:
        """Return it as a notification."""
        short = {key: value for key, value in self.facts().items() if key not in ("tail", "arrived")}
        return Message(f"Edge Pipeline: {self.line}", self.markdown(), short)

    def write(self, folder: Path) -> Path:
        """Write both into `folder`; return the Markdown file."""
        import json

        name = self.run or "not-begun"
        write_atomically(folder / f"{name}.json", json.dumps(self.facts(), indent=1).encode())
        path = folder / f"{name}.md"
        write_atomically(path, self.markdown().encode())
        return path
