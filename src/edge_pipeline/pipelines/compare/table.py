"""All targets of a model in one table."""

from collections.abc import Sequence
from typing import Any

from edge_pipeline.core.types import Validation
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.changes import interval
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.scorecard.nodes import MEASURED, OF_TASK, add_comparisons, row

INTERVAL = ("accuracy_low", "accuracy_high")
"""The 95% confidence interval of the accuracy: of the test part that was run as a sample of all images."""

ABOUT = ("target", "device", "device_kind", "runtime", "precision", "pareto", "status", "warnings", "dataset")
"""Columns that hold no measured number."""

NOT_OF_TASK = frozenset({*MEASURED, *INTERVAL, *ABOUT})
"""Columns that are the same for every task; the others are metrics of the task and of the user."""


def comparison_table(found: Sequence[TargetResults], spec: ModelSpec) -> Any:
    """Return a data frame with one row a target; numbers that were not measured are `None`.

    `pareto` is the front of a target's device; see `add_comparisons`. `status` is `ok`, or says what failed, is missing
    or outdated.
    """
    import numpy as np
    import pandas as pd

    own = own_metrics(found)
    numbers = tuple(dict.fromkeys((*MEASURED, *INTERVAL, *OF_TASK.get(spec.task, ()), *own)))
    rows = [_row(one, numbers, spec) for one in found]
    add_comparisons(rows)
    columns = [*ABOUT[:5], *numbers, *ABOUT[5:]]
    table = pd.DataFrame(rows, columns=columns).replace([np.inf, -np.inf], np.nan)
    return table.astype(object).where(table.notna(), None)


def _row(one: TargetResults, numbers: Sequence[str], spec: ModelSpec) -> dict[str, Any]:
    made = row(one.target, one.results, numbers, spec.targets.require)
    status = [*([] if made["status"] == "ok" else [made["status"]]), *one.problems]
    dataset = f"{spec.dataset.type}{' (generated)' if spec.dataset.generated else ''}"
    if made.get("accuracy") is not None and made.get(INTERVAL[0]) is None:
        made |= dict(zip(INTERVAL, interval(one) or (None, None), strict=True))
    return {**made, "device_kind": one.kind, "status": "; ".join(status) or "ok", "dataset": dataset}


def own_metrics(found: Sequence[TargetResults]) -> list[str]:
    """Return the names of the user's own metrics."""
    validations = [result for one in found for result in one.results if isinstance(result, Validation)]
    return list(dict.fromkeys(key for one in validations for key in one.details.get("own_metrics", ())))
