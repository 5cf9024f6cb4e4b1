"""Keys: made once, for one user alone; signatures are checked alike with `cryptography` and without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_pipeline.fleet import ed25519
from edge_pipeline.fleet.errors import KeyFileError
from edge_pipeline.fleet.keys import PRIVATE, PrivateKey, generate, private_key, trusted_keys

RFC_8032 = [  # section 7.1: public key, message, signature of tests 1 to 3
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_standard(public: str, message: str, signature: str) -> None:
    key, text, sign = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert ed25519.verify(key, sign, text)
    assert not ed25519.verify(key, sign, text + b"x")
    for position in (0, 31, 32, 63):
        wrong = bytearray(sign)
        wrong[position] ^= 1
        assert not ed25519.verify(key, bytes(wrong), text)
    # the same signature with the group's order added to its scalar must not pass as another one
    scalar = int.from_bytes(sign[32:], "little") + ed25519.ORDER
    assert not ed25519.verify(key, sign[:32] + scalar.to_bytes(32, "little"), text)


def test_both_ways_agree(key: PrivateKey, stranger: PrivateKey) -> None:
    for number in range(20):
        message = os.urandom(number * 7)
        sign = key.sign(message)
        for public in (key.public, stranger.public):
            wanted = public.verifies(sign, message)
            assert ed25519.verify(public.raw, sign, message) is wanted is (public == key.public)


@pytest.mark.parametrize("public", [b"", bytes(31), b"\xff" * 32, (2**255 - 18).to_bytes(32, "little")])
def test_what_is_no_key_verifies_nothing(key: PrivateKey, public: bytes) -> None:
    assert not ed25519.verify(public, key.sign(b"message"), b"message")
    assert not ed25519.verify(key.public.raw, b"short", b"message")


def test_a_pair_is_made_once_and_for_its_user_alone(key: PrivateKey, tmp_path: Path) -> None:
    made = generate(tmp_path, "me")
    path = tmp_path / PRIVATE
    assert path.stat().st_mode & 0o777 == 0o600
    assert private_key(tmp_path).public == made
    assert trusted_keys(tmp_path) == [made]
    content = path.read_bytes()
    with pytest.raises(KeyFileError, match="there is a key already"):
        generate(tmp_path, "me")
    assert path.read_bytes() == content
    assert content.split(b"\n")[1].decode() not in repr(private_key(tmp_path))


def test_trusted_keys_of_the_team_and_of_the_user(key: PrivateKey, stranger: PrivateKey, tmp_path: Path) -> None:
    for env, one in (("base", key), ("local", stranger)):
        (tmp_path / env / "trusted_keys").mkdir(parents=True)
        (tmp_path / env / "trusted_keys" / "one.pub").write_bytes(one.public.pem())
    assert trusted_keys(tmp_path) == [key.public, stranger.public]
    (tmp_path / "local" / "trusted_keys" / "bad.pub").write_text("ssh-ed25519 AAAA")
    with pytest.raises(KeyFileError, match=r"bad\.pub is no public key"):
        trusted_keys(tmp_path)


def test_a_key_that_is_missing_open_or_of_another_kind(key: PrivateKey, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import x25519

    with pytest.raises(KeyFileError, match="keygen"):
        private_key(tmp_path)
    generate(tmp_path, "me")
    path = tmp_path / PRIVATE
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="others can read"):
        private_key(tmp_path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(KeyFileError, match="no private key"):
        private_key(tmp_path)
    other = x25519.X25519PrivateKey.generate()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(other.private_bytes(encoding, form, serialization.NoEncryption()))
    with pytest.raises(KeyFileError, match="no Ed25519 key"):
        private_key(tmp_path)


def test_nothing_heavy_is_imported_for_a_bundle() -> None:
    code = (
        "import sys, edge_pipeline.fleet.bundle as b; "
        "print({'torch', 'cryptography', 'asyncssh', 'mlflow', 'kedro', 'onnxruntime'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
