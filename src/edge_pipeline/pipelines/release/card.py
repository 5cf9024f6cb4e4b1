"""The model card of a release, written from what was measured and from nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_pipeline.core.types import Artifact
from edge_pipeline.models.spec import ModelSpec

COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "target": ("target", str),
    "accuracy": ("accuracy", lambda v: f"{v:.2%}"),
    "latency_p50_ms": ("p50 ms", lambda v: f"{v:.3g}"),
    "latency_p99_ms": ("p99 ms", lambda v: f"{v:.3g}"),
    "peak_memory_mb": ("memory MB", lambda v: f"{v:.3g}"),
    "energy_mj": ("energy mJ", lambda v: f"{v:.3g}"),
    "size_mb": ("size MB", lambda v: f"{v:.3g}"),
    "npu_layers_pct": ("on NPU", lambda v: f"{v:.0f}%"),
    "sqnr_float_db": ("SQNR dB", lambda v: f"{v:.1f}"),
}
"""Columns of the table of targets: title, and how a number is written."""


def model_card(
    model: str,
    spec: ModelSpec,
    weights: Artifact,
    rows: Sequence[Mapping[str, Any]],
    lineages: Mapping[str, Mapping[str, str]],
    rules: Sequence[tuple[str, str, str]],
) -> str:
    """Return the card in Markdown.

    Args:
        model: name in models.yml.
        spec: its entry there.
        weights: the trained network; tells of the training.
        rows: of the comparison table, one a target that is released; `None` where nothing was measured.
        lineages: by target the hashes of what it was made from, by kind.
        rules: of the gates: the rule, what was found, the verdict.
    """
    return "\n".join(
        [
            f"# {model}",
            "",
            f"A network of the recipe `{weights.details['recipe']}` for {spec.task.replace('_', ' ')}.",
            *_network(spec, weights),
            "",
            "## What was measured",
            "",
            *_table(list(COLUMNS), rows),
            "",
            *_notes(rows),
            "## Gates",
            "",
            *_gates(rules),
            "",
            "## Where it comes from",
            "",
            *_lineage(lineages),
            "",
        ]
    )


def _network(spec: ModelSpec, weights: Artifact) -> list[str]:
    interface = weights.details["interface"]
    inputs = ", ".join(f"`{one['name']}` {tuple(one['shape'])} {one['dtype']}" for one in interface["inputs"])
    outputs = ", ".join(f"`{one['name']}` {tuple(one['shape'])} {one['dtype']}" for one in interface["outputs"])
    size = weights.details.get("parameters")
    trained = weights.details.get("epochs")
    return [
        *([f"It has {size:,} parameters."] if size else []),
        "",
        f"- input: {inputs}",
        f"- output: {outputs}",
        f"- dataset: `{spec.dataset.type}`{', generated: it says nothing about real images' * spec.dataset.generated}",
        *([f"- trained for {trained} epochs, the best was {weights.details.get('best_epoch')}"] if trained else []),
    ]


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table with the columns that anybody has a number for."""
    kept = [name for name in columns if any(row.get(name) is not None for row in rows)]
    if not any(row.get("npu_layers_pct") for row in rows):
        kept = [name for name in kept if name != "npu_layers_pct"]
    lines = [" | ".join("-" if row.get(name) is None else COLUMNS[name][1](row[name]) for name in kept) for row in rows]
    titles = [COLUMNS[name][0] for name in kept]
    return [f"| {' | '.join(titles)} |", f"|{' --- |' * len(kept)}", *(f"| {line} |" for line in lines)]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    emulated = [row["target"] for row in rows if row.get("device_kind") == "htp_emulator"]
    notes = [f"- {', '.join(emulated)}: emulated; no times and no memory"] if emulated else []
    notes += [f"- {row['target']}: {row['warnings']}" for row in rows if row.get("warnings")]
    return [*notes, ""] if notes else []


def _gates(rules: Sequence[tuple[str, str, str]]) -> list[str]:
    if not rules:
        return ["There were no gates for this model."]
    lines = [f"| {' | '.join(part.replace('|', '/') for part in rule)} |" for rule in rules]
    return ["| rule | found | verdict |", "| --- | --- | --- |", *lines]


def _lineage(lineages: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the hashes; those that all targets share once."""
    every = list(lineages.values())
    shared = {kind: one for kind, one in every[0].items() if all(other.get(kind) == one for other in every)}
    lines = [f"- {kind}: `{one}`" for kind, one in shared.items()]
    for target, lineage in lineages.items():
        own = ", ".join(f"{kind} `{one[:16]}`" for kind, one in lineage.items() if kind not in shared)
        lines += [f"- {target}: {own}"] if own else []
    return lines
