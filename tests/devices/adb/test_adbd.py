"""The device of these tests answers to the real program `adb` as a device does."""

from collections.abc import Callable

from tests.devices.adb.adbd import Adbd


def test_it_is_connected_listed_and_runs_commands_with_their_input(phone: Adbd, adb: Callable[..., str]) -> None:
    serial = f"127.0.0.1:{phone.port}"
    assert adb("connect", serial).strip() == f"connected to {serial}"
    assert f"{serial}\tdevice" in adb("devices")
    assert adb("-s", serial, "shell", "wc -c; exit 3", stdin=bytes(300_000)).strip() == "300000"


def test_a_host_that_it_does_not_trust_is_unauthorized(phone: Adbd, adb: Callable[..., str]) -> None:
    phone.trusting = False
    adb("connect", f"127.0.0.1:{phone.port}")
    assert f"127.0.0.1:{phone.port}\tunauthorized" in adb("devices")
