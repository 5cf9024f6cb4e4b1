"""`kedro edge passes`."""

from typing import Any

import click


@click.command("passes")
@click.pass_obj
def command(metadata: Any) -> None:
    """List the graph optimizations, and which of them a target takes by itself."""
    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.core.types import Precision, RuntimeName
    from edge_pipeline.runtimes.passes.base import PASSES, Goal

    goals = {
        "onnx float": Goal(RuntimeName.ONNX, None, Precision.FLOAT),
        "onnx w8a8": Goal(RuntimeName.ONNX, None, Precision.W8A8),
        "NPU float16": Goal(RuntimeName.QNN_CONTEXT_BINARY, "v73", Precision.FLOAT16),
        "NPU w8a8": Goal(RuntimeName.QNN_CONTEXT_BINARY, "v73", Precision.W8A8),
    }
    table = Table("pass", "what it does", *goals, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for one in PASSES.values():
        table.add_row(one.name, one.purpose, *("yes" if one.wanted(goal) else "" for goal in goals.values()))
    Console(width=140).print(table)
    click.echo("Choose and order them with `compile.optimizations` of a model; `[]` takes none.")
