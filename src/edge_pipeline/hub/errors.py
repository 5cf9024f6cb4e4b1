"""What the hub answers when it cannot do what a client asks for."""

from typing import TYPE_CHECKING

from edge_pipeline.core.errors import EdgePipelineError

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb


class RefusedError(EdgePipelineError):
    """A request is answered with `status`, an HTTP status 4xx, and this message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JobError(EdgePipelineError):
    """A job fails for a reason that the protocol has a word for."""

    def __init__(self, kind: "pb.JobFailureType.ValueType", message: str) -> None:
        super().__init__(message)
        self.kind = kind
