"""The token of the account: where it comes from, what is said where it is missing or wrong, that it stays secret."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec, connect, state
from edge_pipeline.hub.faults import Fault
from tests.devices.aihub.conftest import Hub, compile_there

WRONG = "a-wrong-token-0123456789"


def test_no_token_is_told_with_the_way_to_get_one(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    hub.ini.unlink()
    with pytest.raises(CompileError) as raised:
        compile_there(device, exported[Precision.FLOAT])
    told = str(raised.value)
    assert "there is no token for AI Hub, neither in QAIHUB_API_TOKEN nor in" in told
    assert str(hub.ini) in told
    assert "account page" in told and "qai-hub configure --api_token TOKEN" in told


@pytest.mark.parametrize(
    "content",
    ["", "no section", "[api]\napi_url = http://127.0.0.1\n", "[api]\n" + WRONG, f"[api]\nverbose = {WRONG}\n", "\xff"],
)
def test_a_damaged_file_of_the_client_is_told_without_what_is_in_it(hub: Hub, device: DeviceSpec, content: str) -> None:
    hub.ini.write_bytes(content.encode("latin-1"))
    with pytest.raises(DeviceError, match="is no client file of AI Hub: it needs a section") as raised:
        connect(device).describe()
    assert WRONG not in "".join(traceback.format_exception(raised.value))


def test_a_run_without_a_token_is_refused_before_anything_runs(hub: Hub, tmp_path: Path) -> None:
    from edge_pipeline.core.errors import ConfigError
    from edge_pipeline.hooks.preflight import check
    from edge_pipeline.pipelines.config import parse

    targets = {"devices": ["cloud"], "runtimes": ["qnn_context_binary"], "precisions": ["w8a8"]}
    models = {"digits": {"recipe": "classifier", "targets": targets}}
    devices = {"cloud": {"kind": "aihub", "hub_device": "npu"}}
    project = parse(tmp_path, models, devices, {}, {})
    check(project, ["digits.scorecard"], project.targets("digits"))
    hub.ini.unlink()
    with pytest.raises(ConfigError, match=r"devices\.yml: cloud: there is no token for AI Hub"):
        check(project, ["digits.scorecard"], project.targets("digits"))


def test_a_wrong_token_is_told_and_never_shown(hub: Hub, device: DeviceSpec, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub.configure(WRONG)
    with pytest.raises(DeviceError, match="does not accept the token") as raised:
        connect(device).describe()
    assert hub.address in str(raised.value)
    assert WRONG not in "".join(traceback.format_exception(raised.value)) + caplog.text


def test_the_token_of_the_environment_comes_first(
    hub: Hub, device: DeviceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.configure(WRONG)
    monkeypatch.setenv("QAIHUB_API_TOKEN", hub.token)
    assert connect(device).describe()["hub_device"] == "host"


def test_a_hub_that_repeats_the_token_in_its_message_does_not_make_us_show_it(
    hub: Hub, device: DeviceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.hub import devices
    from edge_pipeline.hub.errors import RefusedError

    def refuse(*_: Any) -> Any:
        raise RefusedError(403, f"the token {hub.token} may not list devices")

    monkeypatch.setattr(devices, "chosen", refuse)
    with pytest.raises(DeviceError, match="the token <token> may not list devices") as raised:
        connect(device).describe()
    assert hub.token not in "".join(traceback.format_exception(raised.value))


def test_a_hub_that_is_not_there_is_told(hub: Hub, device: DeviceSpec) -> None:
    hub.ini.write_text(hub.ini.read_text().replace(hub.address, "http://127.0.0.1:1"))
    with pytest.raises(
        DeviceError, match=r"AI Hub at http://127\.0\.0\.1:1 does not answer: .*Check the network"
    ) as raised:
        connect(device).describe()
    assert raised.value.trouble == "unreachable"
    assert state(device)["state"] == "unreachable"


@pytest.mark.parametrize("status", [500, 503])
def test_trouble_that_passes_is_waited_for(hub: Hub, device: DeviceSpec, status: int) -> None:
    hub.faults.add(*[Fault("GET .*devices", status)] * 9)
    assert connect(device).describe()["kind"] == "aihub"
    assert hub.faults.take("GET", "/devices") is None


def test_the_token_is_in_no_file_but_the_clients(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = compile_there(device, exported[Precision.FLOAT])
    assert hub.token not in str(made.manifest()) + caplog.text
    written = [one for one in (tmp_path / "ledger").rglob("*") if one.is_file()]
    assert written
    assert not [one for one in written if hub.token.encode() in one.read_bytes()]


def test_a_device_tells_what_it_is(hub: Hub, device: DeviceSpec) -> None:
    npu = device.model_copy(update={"hub_device": "chipset:qualcomm-qcs8550"})
    assert connect(npu).describe() == {
        "kind": "aihub",
        "hub_device": "npu",
        "chipset": "qualcomm-qcs8550",
        "hexagon": "v73",
    }
    assert state(device) == {"state": "ready", "cpu": "host", "system": "linux"}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("hots", "AI Hub has no device 'hots'; did you mean 'host'"),
        ("chipset:qualcomm-qcs8555", "did you mean 'chipset:qualcomm-qcs8550'"),
    ],
)
def test_an_unknown_device_is_told_with_the_closest(hub: Hub, device: DeviceSpec, wanted: str, told: str) -> None:
    with pytest.raises(DeviceError) as raised:
        connect(device.model_copy(update={"hub_device": wanted})).describe()
    assert told in str(raised.value)
    assert "`kedro edge devices --hub` lists all of them" in str(raised.value)


def test_an_operating_system_that_a_device_does_not_have_is_told(hub: Hub, device: DeviceSpec) -> None:
    with pytest.raises(DeviceError, match="AI Hub has no 'host' with os '14'; it has none"):
        connect(device.model_copy(update={"os": "14"})).describe()
