"""The faults that tests of clients ask for, as the unmodified client meets them."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.hub.faults import Fault


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client try again at once."""
    from qai_hub.util import session

    monkeypatch.setattr(session, "BACKOFF_FACTOR", 0.01)


def test_a_status_before_the_work_leaves_nothing_behind(hub: Any, client: Any, host: Any, network: Path) -> None:
    import qai_hub

    hub.faults.add(Fault("GET .*devices", 403))
    with pytest.raises(qai_hub.UserError, match="a fault that a test asked for"):
        client.get_devices()
    assert len(client.get_devices()) == 2, "a fault happens once"
    model = client.upload_model(str(network))
    hub.faults.add(Fault("POST .*jobs", 504))
    client.submit_compile_job(model, device=host, name="once")
    assert [one.name for one in client.get_job_summaries()] == ["once"]


def test_answers_that_are_lost_after_the_work_make_more_jobs_of_one(
    hub: Any, client: Any, host: Any, network: Path
) -> None:
    model = client.upload_model(str(network))
    hub.faults.add(Fault("POST .*jobs", 504, after=True), Fault("POST .*jobs", 504, after=True))
    client.submit_compile_job(model, device=host, name="asked for once")
    assert [one.name for one in client.get_job_summaries()] == ["asked for once"] * 3


def test_a_download_that_is_cut_is_fetched_again(hub: Any, client: Any, network: Path, tmp_path: Path) -> None:
    model = client.upload_model(str(network))
    hub.faults.add(Fault("GET /transfer", None, after=True))
    assert Path(model.download(str(tmp_path / "again.onnx"))).read_bytes() == network.read_bytes()
    assert hub.faults.take("GET", "/transfer") is None


def test_an_upload_that_is_cut_is_sent_again(hub: Any, client: Any, network: Path) -> None:
    hub.faults.add(Fault("PUT /transfer", None))
    model = client.upload_model(str(network))
    assert (hub.folder / "models" / model.model_id / "file").read_bytes() == network.read_bytes()
    assert hub.faults.take("PUT", "/transfer") is None
