"""Several networks in one context binary, from Python: they share their weights, and one device loads one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, RuntimeName, Target
from edge_pipeline.devices.aihub import downloads, hub, linking
from edge_pipeline.devices.aihub.compiling import DLC, Wishes, compiled_there

if TYPE_CHECKING:
    from edge_pipeline.devices.inventory import DeviceSpec


@dataclass(frozen=True)
class Joined:
    """A context binary of several networks.

    Attributes:
        binary: the file.
        parents: hashes of the exported models, in their order.
        jobs: pages of the compile jobs in the same order, and of the link job at the end.
        qairt: version of Qualcomm's tools, or nothing if the Hub does not tell.
    """

    binary: bytes
    parents: tuple[str, ...]
    jobs: tuple[str, ...]
    qairt: str


def join_there(spec: "DeviceSpec", exported: Sequence[Artifact], target: Target, wishes: Wishes) -> Joined:
    """Let a Hub compile networks, or one network with several input sizes, to DLCs and link these.

    A profile or inference job runs one graph of the binary: name it with `--qnn_options context_enable_graphs=NAME`.

    Args:
        spec: entry of devices.yml.
        exported: the networks, each another one.
        target: its precision says whether encodings are sent, its name is shown in messages.
        wishes: how to compile and link.

    Raises:
        CompileError: the Hub cannot be reached, does not take a model, or fails to compile or link.
    """
    try:
        client, ledger = hub.connected(spec)
        device = hub.chosen(client, spec)
        hub.check_runtime(device, RuntimeName.QNN_CONTEXT_BINARY)
        made = [compiled_there(client, ledger, device, one, target, DLC, wishes) for one in exported]
        name, model = linking.linked_there(
            client,
            ledger,
            device,
            [one.model.model_id for one in made],
            options=wishes.link_options,
            target=target.name,
            time_limit_s=wishes.time_limit_s,
        )
        _, files = downloads.compiled_files(client, model.model_id, RuntimeName.QNN_CONTEXT_BINARY)
    except DeviceError as error:
        told = str(error)
        raise CompileError(told if told.startswith(target.name) else f"{target.name}: {told}") from error
    pages = tuple(client.page(one) for one in (*(one.job for one in made), name))
    (binary,) = (data for file, data in files.items() if file.endswith(".bin"))
    return Joined(binary, tuple(one.hash for one in exported), pages, downloads.versions(model).get("qairt", ""))
