"""What is logged of a gate: one MLflow run with every verdict."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from edge_pipeline.hooks.records import RunRecord, Times
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.gate.judge import Judgement
from edge_pipeline.pipelines.gate.junit import junit_xml, shown


def gate_record(project: Project, shared_tags: Mapping[str, str], judgement: Judgement, times: Times) -> RunRecord:
    """Return the run of a gate: how many rules came to what, the table `gate`, and the JUnit file."""
    generated = project.models[judgement.model].dataset.generated
    tags = {**shared_tags, "kind": "gate", "model": judgement.model, "passed": str(judgement.passed).lower()}
    tags |= {"champion": str(judgement.champion)} if judgement.champion is not None else {}
    tags |= {"dataset_generated": "true"} if generated else {}
    counts = Counter(one.outcome for one in judgement.verdicts)
    metrics = {"rules": len(judgement.verdicts), "rules_broken": counts["broken"], "rules_met": counts["met"]}
    columns: dict[str, list[Any]] = {
        "target": [one.target for one in judgement.verdicts],
        "rule": [one.title for one in judgement.verdicts],
        "value": [one.value for one in judgement.verdicts],
        "limit": [one.limit for one in judgement.verdicts],
        "shown": [f"{shown(one, one.value)} / {shown(one, one.limit)}" for one in judgement.verdicts],
        "verdict": [str(one.outcome) for one in judgement.verdicts],
        "reason": [one.reason for one in judgement.verdicts],
    }
    return RunRecord(
        f"{judgement.model}/gate",
        project.tracking.experiment,
        "FINISHED" if judgement.passed else "FAILED",
        times.started,
        times.ended,
        {"model": judgement.model},
        tags,
        tuple((key, float(value), 0) for key, value in metrics.items()),
        tables={"gate": columns},
        files={"gate.xml": junit_xml(judgement)},
    )
