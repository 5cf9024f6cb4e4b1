"""Tell people how a training ended: a webhook, and e-mail. What goes wrong here changes nothing of the outcome."""

import http.client
import json
import os
import re
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from edge_pipeline.pipelines.retrain.schedule import VARIABLE, EmailSpec, NotifySpec


@dataclass(frozen=True)
class Message:
    """What is said: a line, the whole report as Markdown, and facts for machines."""

    subject: str
    body: str
    facts: Mapping[str, Any]


def notify(spec: NotifySpec, message: Message, failed: bool) -> list[str]:
    """Send `message` to everybody who wants to know.

    Returns:
        A line for each receiver: that it was told, or why it could not be.
    """
    if not failed and spec.on == "failure":
        return []
    told = []
    if spec.webhook:
        told.append(_attempt("webhook", lambda: _post(spec, message)))
    if spec.email:
        email = spec.email
        told.append(_attempt("e-mail", lambda: _mail(email, message)))
    return told


def payload(message: Message) -> dict[str, Any]:
    """Return what a webhook gets: `text`, which chat services show, and the facts."""
    return {"text": f"{message.subject}\n{message.body}"[:3000], **message.facts}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A webhook that moves is told to the user, not followed: the address is a secret."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def _attempt(kind: str, send: Any) -> str:
    try:
        return f"{kind}: told {send()}"
    except (OSError, smtplib.SMTPException, ValueError, KeyError) as error:
        reason = re.sub(r"https?://\S+", "the address", re.sub(r"\s+", " ", str(error))) or type(error).__name__
        return f"{kind}: nobody was told, {reason[:300]}"


def _post(spec: NotifySpec, message: Message) -> str:
    url = _secret(spec.webhook or "") if VARIABLE.fullmatch(spec.webhook or "") else str(spec.webhook)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"what {spec.webhook} holds is no http(s) address")
    request = urllib.request.Request(
        url,
        json.dumps(payload(message), allow_nan=False).encode(),
        {"Content-Type": "application/json", "User-Agent": "edge-pipeline"},
    )
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=spec.timeout_s) as answer:
            answer.read(4096)
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{parts.hostname} answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise OSError(f"{parts.hostname} cannot be reached: {error.reason}") from None
    except TimeoutError:
        raise OSError(f"{parts.hostname} did not answer within {spec.timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"{parts.hostname} broke off: {error}") from None
    return str(parts.hostname)


def _mail(spec: EmailSpec, message: Message) -> str:
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.subject.split())[:200]
    mail["From"], mail["To"] = spec.sender, ", ".join(spec.to)
    mail.set_content(message.body)
    context = ssl.create_default_context()
    host, port, limit = spec.host, spec.port, spec.timeout_s
    server = (
        smtplib.SMTP_SSL(host, port, timeout=limit, context=context)
        if spec.security == "tls"
        else smtplib.SMTP(host, port, timeout=limit)
    )
    with server:
        if spec.security == "starttls":
            server.starttls(context=context)
        if spec.user and spec.password:
            server.login(spec.user, _secret(spec.password))
        refused = server.send_message(mail)
    if refused:
        raise OSError(f"{host} refuses {', '.join(refused)}; the others were told")
    return _listed(spec.to)


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ValueError(f"the environment variable {variable} is not set")
    return value


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
