import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.pipelines.retrain.notify import Message, notify
from edge_pipeline.pipelines.retrain.schedule import EmailSpec, NotifySpec

MESSAGE = Message(
    "Edge Pipeline: m could not be trained again", "# Why\n\nthe disk is full\n", {"model": "m", "step": "train"}
)


class Receiver(ThreadingHTTPServer):
    """A webhook on loopback; answers with `status`."""

    status = 200

    def __init__(self) -> None:
        self.got: list[tuple[str, str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/T0/secret"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.got.append((self.path, self.headers["Content-Type"], json.loads(content)))
        self.send_response(server.status)
        if server.status == 302:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_gets_a_text_and_the_facts(receiver: Receiver) -> None:
    told = notify(NotifySpec(webhook=receiver.url), MESSAGE, failed=True)
    assert told == ["webhook: told 127.0.0.1"]
    ((path, kind, content),) = receiver.got
    assert (path, kind) == ("/services/T0/secret", "application/json")
    assert content["text"].startswith("Edge Pipeline: m could not be trained again\n# Why")
    assert content["model"] == "m" and content["step"] == "train"


def test_the_address_may_lie_in_a_variable(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_WEBHOOK", receiver.url)
    assert notify(NotifySpec(webhook="RETRAIN_WEBHOOK"), MESSAGE, failed=True) == ["webhook: told 127.0.0.1"]
    monkeypatch.delenv("RETRAIN_WEBHOOK")
    (line,) = notify(NotifySpec(webhook="RETRAIN_WEBHOOK"), MESSAGE, failed=True)
    assert line == "webhook: nobody was told, the environment variable RETRAIN_WEBHOOK is not set"


def test_success_is_told_only_to_those_who_ask(receiver: Receiver) -> None:
    assert notify(NotifySpec(webhook=receiver.url), MESSAGE, failed=False) == []
    assert not receiver.got
    notify(NotifySpec(webhook=receiver.url, on="always"), MESSAGE, failed=False)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(("status", "said"), [(500, "answered 500"), (302, "answered 302"), (404, "answered 404")])
def test_a_webhook_that_refuses_is_told_and_its_secret_is_not(receiver: Receiver, status: int, said: str) -> None:
    receiver.status = status
    (line,) = notify(NotifySpec(webhook=receiver.url), MESSAGE, failed=True)
    assert line.startswith(f"webhook: nobody was told, 127.0.0.1 {said}") and "secret" not in line
    assert len(receiver.got) == 1


def test_a_webhook_that_is_down_or_silent_is_told() -> None:
    down = f"http://127.0.0.1:{_free_port()}/secret"
    (line,) = notify(NotifySpec(webhook=down), MESSAGE, failed=True)
    assert "nobody was told, 127.0.0.1 cannot be reached" in line and "secret" not in line
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        (line,) = notify(NotifySpec(webhook=address, timeout_s=0.3), MESSAGE, failed=True)
    assert "nobody was told, 127.0.0.1 " in line


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Inbox:
    """Keeps what a mail server receives."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append((session.ssl is not None, envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that signs itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def mail_server(certificate: Path, needs: Callable[[str], Any]) -> Iterator[Callable[[str], tuple[Inbox, int]]]:
    """Return a function that starts a mail server of a kind of security; returns its inbox and port."""
    needs("aiosmtpd")
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    controllers = []

    def start(security: str) -> tuple[Inbox, int]:
        inbox, context = Inbox(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
            inbox.logins.append((data.login, data.password))
            return AuthResult(success=data.password == b"hunter2", handled=False)

        options: dict[str, Any] = {"starttls": {"tls_context": context}, "tls": {"ssl_context": context}}.get(
            security, {}
        )
        controller = Controller(
            inbox,
            hostname="localhost",
            port=_free_port(),
            authenticator=login,
            auth_require_tls=security == "starttls",
            **options,
        )
        controller.start()
        controllers.append(controller)
        return inbox, controller.port

    yield start
    for one in controllers:
        one.stop()


def email(port: int, **more: Any) -> NotifySpec:
    sent = {
        "host": "localhost",
        "port": port,
        "sender": "edge@here",
        "to": ["a@there", "b@there"],
        "timeout_s": 5,
        **more,
    }
    return NotifySpec(email=EmailSpec(**sent))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_sent_encrypted_with_the_password_of_a_variable(
    mail_server: Callable[..., Any], certificate: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("MAIL_PASSWORD", "hunter2")
    inbox, port = mail_server(security)
    told = notify(email(port, security=security, user="edge", password="MAIL_PASSWORD"), MESSAGE, failed=True)
    assert told == ["e-mail: told a@there, b@there"]
    ((encrypted, sender, to, content),) = inbox.mails
    assert (encrypted or security == "tls") and sender == "edge@here" and to == ["a@there", "b@there"]
    assert "Subject: Edge Pipeline: m could not be trained again" in content and "the disk is full" in content
    assert inbox.logins == [(b"edge", b"hunter2")]


def test_mail_to_a_server_with_an_unknown_certificate_is_not_sent(mail_server: Callable[..., Any]) -> None:
    inbox, port = mail_server("starttls")
    (line,) = notify(email(port), MESSAGE, failed=True)
    assert "e-mail: nobody was told" in line and "certificate verify failed" in line
    assert not inbox.mails


def test_mail_that_is_refused_is_told(
    mail_server: Callable[..., Any], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("MAIL_PASSWORD", "wrong")
    inbox, port = mail_server("starttls")
    (line,) = notify(email(port, user="edge", password="MAIL_PASSWORD"), MESSAGE, failed=True)
    assert "nobody was told" in line and "wrong" not in line
    (line,) = notify(email(port, to=["nobody@there", "b@there"]), MESSAGE, failed=True)
    assert "refuses nobody@there; the others were told" in line and len(inbox.mails) == 1


def test_a_mail_server_that_is_down_does_not_keep_the_webhook_from_being_told(receiver: Receiver) -> None:
    spec = email(9).model_copy(update={"webhook": receiver.url})
    told = notify(spec, MESSAGE, failed=True)
    assert told[0] == "webhook: told 127.0.0.1" and told[1].startswith("e-mail: nobody was told, ")
