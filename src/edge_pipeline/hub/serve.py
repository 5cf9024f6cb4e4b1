"""The HTTP server of a hub: tokens, files, and requests of the protocol."""

import contextlib
import hmac
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_pipeline.core.errors import EdgePipelineError, StorageError
from edge_pipeline.core.files import disk_errors, write_atomically
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub import transfers
from edge_pipeline.hub.errors import RefusedError
from edge_pipeline.hub.faults import Fault, Faults
from edge_pipeline.hub.jobs import Jobs
from edge_pipeline.hub.protocol import Protocol, Request, file_of
from edge_pipeline.hub.store import DIGEST, Store
from edge_pipeline.hub.tickets import valid

UPLOAD_BYTES = 2**31
CAPACITY_BYTES = 50 * 2**30
PROTOBUF = "application/x-protobuf"

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Hub:
    """A hub that serves a folder and devices at an address.

    Args:
        folder: what it keeps; see `Store`.
        devices: those of devices.yml.
        host: address to listen at.
        port: 0 takes a free one.
        upload_bytes: most that an upload may have.
        capacity_bytes: most that all files together may have.

    Attributes:
        token: what clients need; kept in the folder, readable by its owner alone.
        faults: for tests of clients.

    Raises:
        StorageError: the folder cannot be used, or the address is taken.
    """

    def __init__(
        self,
        folder: Path,
        devices: Mapping[str, DeviceSpec],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        upload_bytes: int = UPLOAD_BYTES,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        self._socket = _bound(host, port)
        try:
            self._store = Store(folder, capacity_bytes)
        except BaseException:
            self._socket.close()
            raise
        self.token, self.faults, self._largest = _token(folder / "token"), Faults(), upload_bytes
        self._jobs = Jobs(self._store, devices)
        self._protocol = Protocol(self._store, self._jobs, devices, self.token, upload_bytes)
        app = Starlette(
            routes=[
                Route("/transfer/{action}/{kind}/{name}/{expires}/{signature}", self._transfer, methods=_METHODS),
                Route("/{path:path}", self._request, methods=_METHODS),
            ]
        )
        settings = uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(settings)

    @property
    def address(self) -> str:
        """Where clients find it, such as `http://127.0.0.1:8742`."""
        host, port = self._socket.getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until Ctrl-C or `stop`, then end jobs and let the folder go."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run(sockets=[self._socket])
        finally:
            self._jobs.close()
            self._store.close()

    def start(self) -> threading.Thread:
        """Serve in a thread of its own, and return that."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let `run` end."""
        self._server.should_exit = True

    async def _request(self, http: HttpRequest) -> Response:
        """Answer a request of the protocol."""

        async def answer() -> Response:
            given = http.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"token {self.token}".encode()):
                raise RefusedError(401, "the token is missing or wrong")
            content = await transfers.whole(http.stream())
            request = Request(f"{http.url.scheme}://{http.url.netloc}", http.url.query, content)
            message = await run_in_threadpool(self._protocol.answer, http.method, http.url.path, request)
            return Response(message.SerializeToString(), media_type=PROTOBUF)

        return await self._guarded(http, answer)

    async def _transfer(self, http: HttpRequest) -> Response:
        """Take or give a file, by a ticket."""

        async def answer() -> Response:
            part = http.path_params
            action = {"GET": "get", "PUT": "put", "POST": "put"}.get(http.method, "")
            named = (part["kind"], part["name"], part["expires"], part["signature"])
            if part["action"] != action or not valid(self.token, action, *named):
                raise RefusedError(403, "this address is not valid, or no longer; ask the hub for a new one")
            kind, name = named[:2]
            path = self._store.path(kind, name, file_of(kind))
            if action == "get":
                if not path.is_file():
                    raise RefusedError(404, f"the {kind[:-1]} '{name}' has no file")
                return FileResponse(path, media_type="application/octet-stream")
            return await self._take(http, kind, name, path)

        return await self._guarded(http, answer)

    async def _take(self, http: HttpRequest, kind: str, name: str, path: Path) -> Response:
        if self._store.get(kind, name).file_upload_complete:
            raise RefusedError(409, f"the {kind[:-1]} '{name}' has its file already; make a new one")
        size = http.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise RefusedError(411, "an upload must say how long it is, in its Content-Length")
        await run_in_threadpool(self._store.check_room, int(size))
        chunks: AsyncIterator[bytes] = http.stream()
        if http.method == "POST":
            chunks = transfers.of_form(chunks, http.headers.get("Content-Type", ""))
        digest = await transfers.to_file(chunks, path, self._largest)
        write_atomically(self._store.path(kind, name, DIGEST), digest.encode())
        return Response(status_code=204 if http.method == "POST" else 200, headers={"ETag": f'"{digest}"'})

    async def _guarded(self, http: HttpRequest, answer: Any) -> Response:
        """Turn what goes wrong into an answer, and do what a fault asks for."""
        fault = self.faults.take(http.method, http.url.path)
        if fault and not fault.after:
            return await _faulty(fault, None)
        try:
            found: Response = await answer()
        except RefusedError as error:
            found = _refusal(error.status, str(error))
        except ClientDisconnect:
            found = _refusal(400, "the client went away")
        except EdgePipelineError as error:
            found = _refusal(507, str(error))
        except Exception:
            logging.getLogger(__name__).exception("%s %s", http.method, http.url.path[:30])
            found = _refusal(500, "a defect of this hub; its log says more")
        return await _faulty(fault, found) if fault else found


def client_ini(address: str, token: str) -> str:
    """Return the file `client.ini` with which the `qai_hub` client uses a hub."""
    return f"[api]\napi_url = {address}\nweb_url = {address}\napi_token = {token}\nverbose = True\n"


def _token(path: Path) -> str:
    """Return the token of a folder; the first time, one is made.

    Raises:
        StorageError: the file cannot be read or is damaged.
    """
    with disk_errors(path):
        if not path.is_file():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
        path.chmod(0o600)
        found = path.read_text().strip()
    if len(found) < 20 or not found.isascii():
        raise StorageError(f"{path} holds no token; delete it, and a new one is made")
    return found


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        raise StorageError(
            f"the hub cannot listen at {host}, port {port}: {error}; choose another with --host and --port"
        ) from error
    return found


def _refusal(status: int, message: str) -> Response:
    return Response(json.dumps({"detail": message}), status, media_type="application/json")


async def _faulty(fault: Fault, answer: Response | None) -> Response:
    if fault.status is not None:
        return _refusal(fault.status, "a fault that a test asked for")
    content = getattr(answer, "body", b"") or b"half of an answer"
    if isinstance(answer, FileResponse):
        content = Path(answer.path).read_bytes()

    async def half() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]

    return StreamingResponse(half(), headers={"Content-Length": str(len(content))}, media_type=PROTOBUF)
