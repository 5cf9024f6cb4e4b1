"""A TCP proxy on loopback that is slow: every block waits before it goes on."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def slow_proxy(port: int, *, block: int, delay_s: float) -> Iterator[int]:
    """Pass what comes to the yielded port on to `port`, at most `block` bytes every `delay_s` seconds, both ways."""
    server = socket.create_server(("127.0.0.1", 0))
    open_ones = [server]

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                behind = socket.create_connection(("127.0.0.1", port))
                open_ones.extend((client, behind))
                for ends in ((client, behind), (behind, client)):
                    threading.Thread(target=_pass_on, args=(*ends, block, delay_s), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    for one in open_ones:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _pass_on(source: socket.socket, sink: socket.socket, block: int, delay_s: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(block):
            time.sleep(delay_s)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
