"""`kedro edge ui`."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import click


@click.command("ui")
@click.option("--port", default=5000, show_default=True, help="Port on 127.0.0.1.")
@click.pass_obj
def command(metadata: Any, port: int) -> None:
    """Open the MLflow page of this project on loopback."""
    from edge_pipeline.hooks.store import tracking_uri
    from edge_pipeline.pipeline_registry import load_project

    root = Path(metadata.project_path)
    uri = tracking_uri(load_project().tracking, root)
    if uri.startswith(("http://", "https://")):
        click.echo(f"The runs of this project are on a server: open {uri}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(
                f"port {port} is in use. Choose another: kedro edge ui --port {port + 1}"
            ) from error
    click.echo(f"MLflow page: http://127.0.0.1:{port}   (Ctrl-C ends it)")
    sys.stdout.flush()
    server = ["server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    artifacts = ["--default-artifact-root", (root / "mlartifacts").as_uri()]
    quiet = ["--uvicorn-opts", "--log-level warning"]
    environment = {**os.environ, "MLFLOW_LOGGING_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", *server, *artifacts, *quiet], environment)
