"""Print the scorecard of a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "accuracy", lambda v: f"{v:.2%}"),
    ("accuracy_vs_float", "vs float", lambda v: f"{100 * v:+.2f} pt"),
    ("latency_p50_ms", "p50 ms", lambda v: f"{v:.3g}"),
    ("latency_p99_ms", "p99 ms", lambda v: f"{v:.3g}"),
    ("peak_memory_mb", "memory MB", lambda v: f"{v:.1f}"),
    ("energy_mj", "energy mJ", lambda v: f"{v:.3g}"),
    ("size_mb", "size MB", lambda v: f"{v:.3f}"),
    ("npu_layers_pct", "on NPU", lambda v: f"{v:.0f}%"),
    ("sqnr_float_db", "SQNR dB", lambda v: f"{v:.1f}"),
)
"""Metric, title and format of the columns that are printed."""

_UNSHOWN = {
    *("target", "device", "runtime", "precision", "pareto", "status", "warnings", "dataset"),
    *("first_inference_ms", "load_ms", "sqnr_sim_db"),
    *("parameters", "multiply_adds"),
}


def print_scorecard(console: Console, table: Any) -> None:
    """Print one line per target of the data frame `table`; numbers that nobody measured (`None`) are shown as -."""
    known = {*(name for name, _, _ in COLUMNS), *_UNSHOWN}
    more = [(name, name, lambda v: f"{v:.4g}") for name in table.columns if name not in known]
    columns = [*COLUMNS[:2], *more, *COLUMNS[2:]]
    shown = [column for column in columns if table[column[0]].notna().any()]
    if not any(table["npu_layers_pct"].dropna()):
        shown = [column for column in shown if column[0] != "npu_layers_pct"]
    view = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    view.add_column("target", no_wrap=True)
    for _, title, _ in shown:
        view.add_column(title, justify="right", no_wrap=True)
    view.add_column("Pareto", justify="center")
    for row in table.to_dict("records"):
        numbers = ["-" if row[key] is None else text(row[key]) for key, _, text in shown]
        mark = "yes" if row["pareto"] else ""
        view.add_row(row["target"], *numbers, mark if row["status"] == "ok" else "failed")
    console.print()
    console.print(view)
    size, cost = (table[name].iloc[0] if len(table) else None for name in ("parameters", "multiply_adds"))
    if size is not None and cost is not None:
        console.print(
            f"The network has {size:,.0f} parameters and takes {_amount(cost)} multiply-adds an inference.",
            highlight=False,
        )
    if table["dataset"].astype(str).str.endswith("(generated)").any():
        console.print("Accuracy on generated images: it says nothing about real ones.", style="yellow")
    for row in table.to_dict("records"):
        if row["warnings"]:
            console.print(f"[yellow]{row['target']}:[/] {row['warnings']}", highlight=False, soft_wrap=True)
    console.print()


def print_ladder(console: Console, name: str, steps: Sequence[Mapping[str, Any]]) -> None:
    """Print what `quantize: auto` tried for `name`, one line a step, and whether the budget was met."""
    view = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    view.add_column(f"automatic quantization of {name}", no_wrap=True)
    for title in ("metric", "SQNR dB", "seconds"):
        view.add_column(title, justify="right", no_wrap=True)
    view.add_column("")
    for one in steps:
        metric = "-" if one["metric"] is None else f"{one['metric']:.4f}"
        sqnr = "-" if one["sqnr_db"] is None else f"{one['sqnr_db']:.1f}"
        mark = "met" if one["met"] else "better" if one["kept"] else one["note"][:60]
        view.add_row(one["rung"], metric, sqnr, f"{one['seconds']:.0f}", mark)
    console.print(view)
    if not any(one["met"] for one in steps):
        console.print("No step met the budget; the best one was kept.", style="yellow")
    console.print()


def _amount(number: float) -> str:
    """Return a large number in thousands, millions or billions."""
    for unit, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"
