"""Files go up and down by signed addresses, and are whole or not there."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from qai_hub import public_api_pb2 as pb

from edge_pipeline.hub import tickets


class Raw:
    """The requests of the client, one by one."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub

    def api(self, method: str, path: str, message: Any = None) -> requests.Response:
        content = message.SerializeToString() if message is not None else b""
        headers = {"Authorization": f"token {self.hub.token}"}
        return requests.request(method, f"{self.hub.address}/api/v1/{path}", data=content, headers=headers, timeout=10)

    def new_model(self) -> tuple[str, str]:
        """Return the id of a new model, and where its file goes."""
        given = pb.Model(name="m.onnx", model_type=pb.MODEL_TYPE_ONNX)
        name = pb.CreateUpdateResponse.FromString(self.api("POST", "models/", given).content).id
        found = self.api("GET", f"models/{name}/multipart_upload/?file_size=10")
        return name, pb.FileMultipartUploadURL.FromString(found.content).urls[0]

    def new_dataset(self) -> tuple[str, str]:
        name = pb.CreateUpdateResponse.FromString(self.api("POST", "datasets/", pb.Dataset(name="d")).content).id
        return name, pb.FileUploadURL.FromString(self.api("GET", f"datasets/{name}/upload_url/").content).url

    def complete(self, name: str, tag: str) -> requests.Response:
        said = pb.FileMultipartUploadComplete(upload_id=name, etags=[tag])
        return self.api("POST", f"models/{name}/multipart_upload/", said)


@pytest.fixture
def raw(hub: Any) -> Raw:
    return Raw(hub)


def test_a_file_comes_back_as_it_was_sent(raw: Raw) -> None:
    name, url = raw.new_model()
    content = bytes(range(256)) * 9000
    sent = requests.put(url, data=content, timeout=10)
    assert raw.complete(name, sent.headers["ETag"]).ok
    found = pb.FileDownloadURL.FromString(raw.api("GET", f"models/{name}/download/").content)
    assert found.filename == "m.onnx"
    assert requests.get(found.url, timeout=10).content == content


def test_an_upload_that_was_damaged_on_its_way_is_refused(raw: Raw) -> None:
    name, url = raw.new_model()
    assert requests.put(url, data=b"whole", timeout=10).ok
    answer = raw.complete(name, '"of other bytes"')
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"the file of the model '{name}' did not arrive whole; upload it again"
    never, _ = raw.new_model()
    assert raw.complete(never, "").status_code == 400
    assert raw.api("GET", f"models/{name}/download/").status_code == 404


def test_a_file_that_is_complete_cannot_be_replaced(raw: Raw) -> None:
    name, url = raw.new_model()
    tag = requests.put(url, data=b"first", timeout=10).headers["ETag"]
    assert raw.complete(name, tag).ok
    assert raw.complete(name, tag).ok, "the client asks again when the answer was lost"
    assert requests.put(url, data=b"second", timeout=10).status_code == 409
    assert raw.api("GET", f"models/{name}/multipart_upload/").status_code == 409
    assert (raw.hub.folder / "models" / name / "file").read_bytes() == b"first"


def test_more_than_was_said_is_refused_and_nothing_of_it_stays(start_hub: Any) -> None:
    raw = Raw(start_hub(upload_bytes=1000))
    name, url = raw.new_model()
    answer = requests.put(url, data=bytes(1001), timeout=10)
    assert answer.status_code == 413
    assert "larger than the 0.0 MB that this hub takes" in answer.json()["detail"]
    assert [path.name for path in (raw.hub.folder / "models" / name).iterdir()] == ["record.pb"]
    assert requests.put(url, data=bytes(1000), timeout=10).ok


@pytest.mark.parametrize("size", [0, 1, 60_000, 200_000])
def test_the_file_of_a_form_is_what_was_in_it(raw: Raw, size: int) -> None:
    name, url = raw.new_dataset()
    content = (b"\r\n--\r\n" * size)[:size]
    assert requests.post(url, files={"file": ("model", content)}, timeout=10).status_code == 204
    assert (raw.hub.folder / "datasets" / name / "file").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"--b\r\nContent-Disposition: form-data\r\n\r\ncut", "multipart/form-data; boundary=b"),
        (b"--c\r\n\r\nother boundary\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (bytes(20_000), "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data; boundary=b"),
        (b"plain", "application/octet-stream"),
    ],
)
def test_what_is_no_form_is_refused(raw: Raw, content: bytes, kind: str) -> None:
    name, url = raw.new_dataset()
    answer = requests.post(url, data=content, headers={"Content-Type": kind}, timeout=10)
    assert answer.status_code == 400
    assert "form" in answer.json()["detail"]
    assert raw.api("PATCH", f"datasets/{name}/", pb.Dataset(file_upload_complete=True)).status_code == 400
    assert [path.name for path in (raw.hub.folder / "datasets" / name).iterdir()] == ["record.pb"]


def test_an_address_is_good_for_one_action_on_one_file_and_for_a_time(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, url = raw.new_model()
    other, _ = raw.new_model()
    assert raw.hub.token not in url
    later = url.replace("/99", "/98") if "/99" in url else url[:-1] + ("0" if url[-1] != "0" else "1")
    for wrong in (url.replace(name, other), url.replace("/put/", "/get/"), url.replace("models", "jobs"), later):
        assert requests.put(wrong, data=b"x", timeout=10).status_code == 403
    assert requests.get(url, timeout=10).status_code == 403
    now = time.time()
    monkeypatch.setattr(tickets.time, "time", lambda: now + tickets.LIFETIME_S + 2)
    assert requests.put(url, data=b"x", timeout=10).status_code == 403
    monkeypatch.undo()
    assert requests.put(url, data=b"x", timeout=10).ok


def test_a_client_that_goes_away_leaves_nothing(raw: Raw) -> None:
    import socket
    from urllib.parse import urlsplit

    name, url = raw.new_model()
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as link:
        link.sendall(f"PUT {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegin".encode())
        time.sleep(0.3)
    folder: Path = raw.hub.folder / "models" / name
    until = time.monotonic() + 5
    while len(list(folder.iterdir())) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert [path.name for path in folder.iterdir()] == ["record.pb"]
