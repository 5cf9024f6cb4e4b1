"""From what `kedro run` measured to a board and back, through the commands alone."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.devices.boards.conftest import sshd

__all__ = ["sshd"]

pytestmark = pytest.mark.slow


def refused(result: Any, *texts: str) -> None:
    """Check for exit status 1 and one plain message that holds `texts`."""
    assert result.status == 1, result.output
    assert "Traceback" not in result.output, result.output
    assert f"\n{result.output}".count("\nError: ") == 1, result.output
    for text in texts:
        assert text in result.output, f"{text!r} is missing in:\n{result.output}"


@pytest.fixture
def project(trained: Any, sshd: Any, needs: Any, tmp_path: Path) -> Any:
    """A project that was run, with a board that has the runtime, and a key."""
    needs("cryptography")
    if sshd.process is None:
        sshd.start()
    board = {
        "kind": "ssh",
        "address": f"{getpass.getuser()}@127.0.0.1:{sshd.port}",
        "keys": [str(sshd.folder / "user")],
        "known_hosts": str(sshd.folder / "known_hosts"),
        "python": sys.executable,
        "folder": str(tmp_path / "board"),
        "runtimes": ["onnx"],
        "labels": ["kitchen"],
    }
    trained.write("conf/base/devices.yml", {"host": {"kind": "host"}, "rb3": board})
    return trained


def test_a_release_goes_to_a_board_and_back(project: Any, tmp_path: Path) -> None:
    place = tmp_path / "board" / "models" / "digits"
    first, second = str(tmp_path / "1.edge"), str(tmp_path / "2.edge")
    create = ("edge", "bundle", "create", "digits")
    refused(project.kedro(*create, "--version", "1", "-o", first), "there is no key to sign with", "keygen")
    made = project.kedro("edge", "bundle", "keygen").succeeded().output
    private = project.root / "conf" / "local" / "bundle_key.pem"
    assert private.stat().st_mode & 0o777 == 0o600 and private.read_text().split("\n")[1] not in made
    for version, path in (("1", first), ("2", second)):
        project.kedro(*create, "--version", version, "-o", path).succeeded()
    assert "digits@host/onnx/float: for any chip" in project.kedro("edge", "bundle", "verify", first).succeeded().output

    project.kedro("edge", "deploy", "digits", "--bundle", first, "--to", "kitchen").succeeded()
    current = place / "current"
    interface = json.loads((current / "interface.json").read_text())
    assert interface["preprocessing"]["size"] == [8, 8] and len(json.loads((current / "labels.json").read_text())) == 10
    compiled = project.root / "data" / "06_models" / "digits" / "host-onnx-float" / "compiled" / "model.onnx"
    assert (current / "artifact" / "model.onnx").read_bytes() == compiled.read_bytes()

    altered = tmp_path / "altered.edge"
    altered.write_bytes(Path(second).read_bytes().replace(b'"version":2', b'"version":3'))
    refused(project.kedro("edge", "deploy", "digits", "--bundle", str(altered)), "the bundle is refused")
    told = project.kedro("edge", "deploy", "digits", "--bundle", second).succeeded().output
    assert "rb3: deployed: golden test" in told and "1 deployed" in told
    refused(project.kedro("edge", "deploy", "digits", "--bundle", first), "downgrade")
    shown = project.kedro("edge", "fleet").succeeded().output
    assert "rb3" in shown and "golden test" in shown and current.readlink().name == "2"
    project.kedro("edge", "fleet", "rollback", "digits").succeeded()
    assert current.readlink().name == "1"
    (current / "artifact" / "model.onnx").write_bytes(b"half")
    refused(project.kedro("edge", "fleet"), "damaged")


def test_the_champion_is_what_is_deployed(project: Any, tmp_path: Path) -> None:
    refused(project.kedro("edge", "deploy", "digits"), "no champion")
    refused(project.kedro("edge", "deploy", "digits", "--waves", "10%"), "no waves")
    refused(project.kedro("edge", "fleet", "sync", "digits"), "nothing of 'digits' was deployed")
    project.kedro("edge", "bundle", "keygen").succeeded()
    project.kedro("edge", "release", "digits", "--promote").succeeded()
    told = project.kedro("edge", "deploy", "digits").succeeded().output
    assert "rb3: deployed: golden test" in told and "1 deployed" in told
    current = tmp_path / "board" / "models" / "digits" / "current"
    assert current.readlink().name == "1"
    assert json.loads((current / "manifest.json").read_text())["version"] == 1
