"""Addresses of files that need no token: each is signed, for one action on one file, for a day."""

import hashlib
import hmac
import time

LIFETIME_S = 86_400


def ticket(key: str, action: str, kind: str, name: str) -> str:
    """Return the path at which `action` (`get` or `put`) may be done with the file of a record."""
    expires = int(time.time()) + LIFETIME_S
    return f"transfer/{action}/{kind}/{name}/{expires}/{_signature(key, action, kind, name, expires)}"


def valid(key: str, action: str, kind: str, name: str, expires: str, signature: str) -> bool:
    """Whether `ticket` made these parts of a path, and they have not expired."""
    if not expires.isdecimal() or len(expires) > 12 or int(expires) < time.time():
        return False
    return hmac.compare_digest(signature.encode(), _signature(key, action, kind, name, int(expires)).encode())


def _signature(key: str, action: str, kind: str, name: str, expires: int) -> str:
    said = f"{action} {kind} {name} {expires}"
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()
