"""`kedro edge passes`."""

from click.testing import CliRunner

from edge_pipeline.cli.passes import command
from edge_pipeline.runtimes.passes.base import PASSES


def test_every_pass_is_listed_with_what_it_does_and_where_it_is_taken() -> None:
    found = CliRunner().invoke(command, obj=None)
    assert found.exit_code == 0, found.output
    lines = {line.split(maxsplit=1)[0]: line for line in found.output.splitlines() if line.strip()}
    assert set(PASSES) <= set(lines)
    assert lines["graph_fusion"].count("yes") == 2
    assert lines["constant_folding"].count("yes") == 4
    assert "compile.optimizations" in found.output
