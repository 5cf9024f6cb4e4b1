"""What is refused at the door: tokens, addresses, sizes, messages; nothing of it ends in a traceback."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from qai_hub import public_api_pb2 as pb

PROTOBUF = "application/x-protobuf"


@pytest.fixture
def call(hub: Any) -> Any:
    """Return a function that sends a request with the hub's token, or the headers given."""

    def send(method: str, path: str, content: Any = b"", **headers: str) -> requests.Response:
        known = headers or {"Authorization": f"token {hub.token}"}
        return requests.request(method, f"{hub.address}/{path}", data=content, headers=known, timeout=10)

    return send


@pytest.mark.parametrize("token", ["wrong", "x" * 43])
def test_a_wrong_token_is_the_clients_own_error(hub: Any, token: str) -> None:
    import qai_hub

    with pytest.raises(qai_hub.UserError, match="Failed to authenticate"):
        hub.client(token=token).get_devices()


def test_without_a_token_nothing_is_answered(call: Any, hub: Any) -> None:
    for headers in ({"X": "y"}, {"Authorization": hub.token}, {"Authorization": "token "}):
        for path in ("api/v1/devices/", "api/v1/jobs/", "no/such", ""):
            answer = call("GET", path, **headers)
            assert answer.status_code == 401
            assert answer.json() == {"detail": "the token is missing or wrong"}


def test_the_token_is_in_a_file_of_its_owner_alone_and_stays_the_same(start_hub: Any, hub: Any, caplog: Any) -> None:
    file = hub.folder / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(hub.folder.stat().st_mode) == 0o700
    assert file.read_text() == hub.token and len(hub.token) >= 40
    hub.client().get_devices()
    hub.end()
    assert start_hub().token == hub.token
    assert hub.token not in caplog.text


def test_answers_have_exactly_the_content_type_that_the_client_asks_for(call: Any) -> None:
    answer = call("GET", "api/v1/devices/?select=False")
    assert answer.headers["Content-Type"] == PROTOBUF
    assert [one.name for one in pb.DeviceList.FromString(answer.content).devices] == ["host", "npu"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "said"),
    [
        ("GET", "api/v1/no_such/", b"", 404, "this hub has no GET /api/v1/no_such/"),
        ("GET", "devices/", b"", 404, "this hub has no GET /devices/"),
        ("DELETE", "api/v1/jobs/", b"", 405, "this hub has no DELETE /api/v1/jobs/"),
        ("POST", "api/v1/jobs/", b"\xff\xff\xff", 400, "the body is no protobuf message Job"),
        ("POST", "api/v1/models/", b"\x0a", 400, "the body is no protobuf message Model"),
        ("POST", "api/v1/jobs/", b"", 400, "this hub has no jobs of this kind; the request holds no job"),
        ("GET", "api/v1/jobs/jaaaaaaaa/", b"", 404, "this hub has no job 'jaaaaaaaa'"),
        ("GET", "api/v1/jobs/?limit=-1", b"", 400, "'limit' must be a natural number, not '-1'"),
        ("GET", "api/v1/job_summaries/?state=x", b"", 400, "'state' must be numbers with commas between them"),
        ("GET", "api/v1/models/..%2f..%2ftoken/download/", b"", 404, "this hub has no GET"),
        ("GET", "api/v1/models/%2e%2e/", b"", 404, "this hub has no GET"),
        ("POST", "api/v1/jobs/", bytes(2**23 + 1), 413, "the request is larger than 8388608 bytes"),
        ("GET", "transfer/get/models/..%2ftoken/9999999999/0", b"", 404, ""),
        ("GET", "transfer/get/token/maaaaaaaa/9999999999/0", b"", 403, "this address is not valid, or no longer"),
        ("PUT", "transfer/put/models/maaaaaaaa/9999999999/0", b"x", 403, "this address is not valid, or no longer"),
    ],
)
def test_what_is_no_request_of_the_protocol(
    call: Any, method: str, path: str, content: bytes, status: int, said: str, caplog: Any
) -> None:
    answer = call(method, path, content)
    assert answer.status_code == status
    if said:
        assert answer.json()["detail"].startswith(said)
    assert "Traceback" not in answer.text and "Traceback" not in caplog.text


def test_jobs_name_things_that_are_here(call: Any, client: Any, network: Path) -> None:
    model = pb.Model(model_id=client.upload_model(str(network)).model_id)

    def said(status: int, **job: Any) -> str:
        answer = call("POST", "api/v1/jobs/", pb.Job(**job).SerializeToString())
        assert answer.status_code == status
        return str(answer.json()["detail"])

    nowhere = pb.Model(model_id="../../../x")
    assert said(404, inference_job=pb.InferenceJob(model=nowhere)) == "this hub has no model '../../../x'"
    device = pb.Device(name="hots")
    assert said(400, inference_job=pb.InferenceJob(model=model, device=device)) == (
        "this hub has no device 'hots'; did you mean 'host'?"
    )
    unknown = pb.Dataset(dataset_id="dzzzzzzzz")
    job = pb.InferenceJob(model=model, device=pb.Device(name="host"), dataset=unknown)
    assert said(404, inference_job=job) == "this hub has no dataset 'dzzzzzzzz'"
    assert "update the client" in said(426, profile_job=pb.ProfileJob(model=model))
    assert said(400, quantize_job=pb.QuantizeJob(model=model)) == "a quantize job needs a calibration dataset"
    assert said(400, compile_job=pb.CompileJob(model=model)).startswith("this hub has no device ''")


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(start_hub: Any, network: Path) -> None:
    import qai_hub

    hub = start_hub(upload_bytes=1000)
    with pytest.raises(qai_hub.UserError, match=r"MB are more than the 0\.0 MB that this hub takes"):
        hub.client().upload_model(str(network))
    with pytest.raises(qai_hub.UserError, match="are more than"):
        hub.client().upload_dataset({"image": [np.random.default_rng(0).random((1, 64, 64), np.float32)]})
    full = start_hub(folder=hub.folder.with_name("full"), capacity_bytes=1000)
    with pytest.raises(qai_hub.UserError, match=r"MB do not fit: this hub holds 0\.0 MB"):
        full.client().upload_model(str(network))
