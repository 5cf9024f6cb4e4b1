"""`kedro edge devices` and `kedro edge passes`."""

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(ready_project, tmp_path_factory):
    return ready_project(tmp_path_factory.mktemp("devices") / "project")


def test_devices_are_listed_with_what_they_are(project):
    found = project.kedro("edge", "devices").succeeded().output
    line = next(line for line in found.splitlines() if line.startswith("host "))
    assert " ready " in line
    assert "Linux" in line


def test_a_board_that_does_not_answer_is_told_with_the_reason(project):
    devices = project.root / "conf" / "base" / "devices.yml"
    devices.write_text(devices.read_text() + "\ngone:\n  kind: ssh\n  address: edge@127.0.0.1:1\n")
    found = project.kedro("edge", "devices", "gone")
    assert found.status == 1
    assert "unreachable" in found.output
    assert "edge@127.0.0.1:1 cannot be reached" in found.output


def test_an_unknown_name_is_told_with_the_closest(project):
    found = project.kedro("edge", "devices", "hots")
    assert found.status == 1
    assert "did you mean 'host'" in found.output


def test_the_graph_passes_are_listed(project):
    assert "implied_activations" in project.kedro("edge", "passes").succeeded().output
