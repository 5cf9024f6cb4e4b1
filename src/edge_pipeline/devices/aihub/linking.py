"""Link jobs of a Hub: one context binary of one or several networks, which then share their weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.aihub import jobs
from edge_pipeline.devices.aihub.client import Client
from edge_pipeline.devices.aihub.ledger import Ledger, key_of

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb


def linked_there(
    client: Client,
    ledger: Ledger,
    device: "pb.Device",
    models: Sequence[str],
    *,
    options: str,
    target: str,
    time_limit_s: float,
) -> "tuple[str, pb.Model]":
    """Return the id of a link job and the message of the context binary that it made.

    To run one network of several, its graph is named to the profile or inference job, with `--qnn_options
    context_enable_graphs=NAME`.

    Args:
        client: the account.
        ledger: records of its Hub.
        device: what the binary is for.
        models: ids of DLC models on the Hub, each once; one graph is made of each.
        options: of the Hub's linker.
        target: shown in messages.
        time_limit_s: seconds at work.

    Raises:
        DeviceError: there is no model, one comes twice, the Hub does not take the job, or it fails or takes too long.
    """
    from qai_hub import public_rest_api as rest

    if not models or len(set(models)) != len(models):
        raise DeviceError(f"{target}: a link job takes one model at least, and each once, not {list(models)}")

    def make(name: str) -> "pb.Job":
        from qai_hub import public_api_pb2 as pb

        job = pb.LinkJob(name=name, device=device, options=options)
        job.models.total_query_count = len(models)
        for one in models:
            job.models.models.add(model_id=one)
        return pb.Job(link_job=job)

    key = key_of("link", client.address, list(models), [device.name, device.os], options)
    name, job = jobs.run(client, ledger, "link", key, make, target=target, time_limit_s=time_limit_s)
    made = job.link_job.target_model.model_id
    if not made:
        raise DeviceError(f"{target}: the job {name} made no model. Its page: {client.page(name)}")
    return name, client.ask(rest.get_model, made)
