"""How long the commands that only look take, as ratios to a bare Kedro project.

The bare project is timed twice: in this environment, and in a new one that holds nothing but Kedro.

Run: python benchmarks/cli_start.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"}
BARE = {
    "pyproject.toml": '[project]\nname = "bare"\nversion = "1"\n[tool.kedro]\npackage_name = "bare"\n'
    'project_name = "Bare"\nkedro_init_version = "1.7.0"\nsource_dir = "src"\n',
    "src/bare/__init__.py": "",
    "src/bare/settings.py": "",
    "src/bare/pipeline_registry.py": "from kedro.pipeline import Pipeline\n\n\n"
    "def register_pipelines():\n    return {'__default__': Pipeline([])}\n",
    "conf/base/catalog.yml": "",
    "conf/local/.gitkeep": "",
}
PEERS = (
    ("kedro registry list", ("registry", "list"), ("registry", "list")),
    ("kedro edge --help", ("edge", "--help"), ("registry", "--help")),
)


def seconds(python: Path, folder: Path, arguments: tuple[str, ...]) -> float:
    """Return the wall-clock time of `kedro ARGUMENTS` in `folder`."""
    start = time.perf_counter()
    subprocess.run([python, "-m", "kedro", *arguments], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return time.perf_counter() - start


def bare_kedro(folder: Path) -> Path:
    """Install this environment's version of Kedro alone, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = ["-c", str(REPOSITORY / "constraints.txt"), "kedro", "rich"]
    subprocess.run([folder / "bin/pip", "--quiet", "install", *wanted], check=True)
    return folder / "bin/python"


def main(rounds: int) -> None:
    """Time both sides in turn and print the ratio of the medians."""
    with tempfile.TemporaryDirectory() as name:
        bare = Path(name) / "project"
        peer_python = bare_kedro(Path(name) / "venv")
        for file, content in BARE.items():
            path = bare / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        sides = {"in the same environment": Path(sys.executable), "in an environment of its own": peer_python}
        for title, ours, theirs in PEERS:
            times = [
                (seconds(Path(sys.executable), REPOSITORY, ours), *(seconds(p, bare, theirs) for p in sides.values()))
                for _ in range(rounds)
            ]
            mine, *peers = (statistics.median(column) for column in zip(*times, strict=True))
            for side, peer in zip(sides, peers, strict=True):
                print(f"{title}: {mine / peer:.2f} times a bare project {side} ({mine:.2f} s / {peer:.2f} s)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
