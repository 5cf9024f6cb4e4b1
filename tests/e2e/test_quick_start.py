"""Commands that only look do not load the heavy libraries."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "aimet_torch", "mlflow", "onnxruntime", "litert_torch", "pandas", "sklearn", "matplotlib")


@pytest.mark.parametrize("arguments", [("edge", "--help"), ("registry", "list"), ("edge", "init", "--help")])
def test_heavy_libraries_are_not_imported(project, arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kedro", *arguments],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "kedro" in imported
    assert not imported & set(HEAVY)
