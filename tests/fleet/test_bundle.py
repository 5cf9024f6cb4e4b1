"""A bundle is what was signed, to the last byte, or it is refused with its own message."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from edge_pipeline.core.files import sha256
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.archive import archive
from edge_pipeline.fleet.bundle import MANIFEST, SIGNATURE, Content, DeviceClass, pack, read_bundle
from edge_pipeline.fleet.errors import BundleError
from edge_pipeline.fleet.keys import PrivateKey, PublicKey

Release = Callable[..., bytes]


def refused(data: bytes, trusted: list[PublicKey]) -> str:
    with pytest.raises(BundleError) as raised:
        read_bundle(data, trusted)
    assert "the bundle is refused" in str(raised.value)
    return str(raised.value)


def opened(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as stored:
        return {name: stored.read(name) for name in stored.namelist()}


def zipped(files: Mapping[str, bytes], **entry: Any) -> bytes:
    """Return a zip of `files` of which the last has the attributes `entry`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stored:
        for number, (name, data) in enumerate(files.items(), 1):
            info = zipfile.ZipInfo(name)
            for attribute, value in (entry if number == len(files) else {}).items():
                setattr(info, attribute, value)
            stored.writestr(info, data)
    return buffer.getvalue()


def test_what_is_read_is_what_was_packed(release: Release, content: Content, trusted: list[PublicKey]) -> None:
    bundle = read_bundle(release(7), trusted)
    told, slug = bundle.manifest, "host-onnx-float"
    assert (told.model, told.version, told.project) == ("digits", 7, content.project)
    assert told.targets[slug].lineage == content.targets[slug].lineage
    assert bundle.files[f"targets/{slug}/artifact/model.onnx"] == content.targets[slug].artifact.files["model.onnx"]
    assert json.loads(bundle.files[f"targets/{slug}/labels.json"]) == list("0123456789")
    assert bundle.files["card.md"] == b"# Digits\n"


def test_equal_contents_give_equal_bytes(release: Release) -> None:
    assert release(2) == release(2) != release(3)


def test_the_bill_of_materials_names_files_and_tools(
    release: Release, content: Content, trusted: list[PublicKey]
) -> None:
    bundle = read_bundle(release(), trusted)
    bill = json.loads(bundle.files["sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    hashes = {one["hashes"][0]["content"] for one in bill["components"]}
    assert sha256(content.targets["host-onnx-float"].artifact.files["model.onnx"]) in hashes
    tools = {one["name"]: one["version"] for one in bill["metadata"]["tools"]["components"]}
    assert tools["torch"] and content.targets["host-onnx-float"].artifact.tools.keys() <= tools.keys()


def test_a_changed_byte_anywhere_is_noticed(release: Release, trusted: list[PublicKey]) -> None:
    data = release()
    for position in range(0, len(data), len(data) // 150):
        altered = bytearray(data)
        altered[position] ^= 0x41
        refused(bytes(altered), trusted)


def test_a_bundle_cut_anywhere_is_refused(release: Release, trusted: list[PublicKey]) -> None:
    data = release()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        assert "truncated" in refused(data[:length], trusted)


def test_bytes_around_a_bundle_are_refused(release: Release, trusted: list[PublicKey]) -> None:
    assert "altered" in refused(b"#!/bin/sh\n" + release(), trusted)
    refused(release() + b"more", trusted)


@pytest.mark.parametrize("name", ["targets/host-onnx-float/artifact/model.onnx", "card.md"])
def test_another_file_in_place_of_a_signed_one(release: Release, trusted: list[PublicKey], name: str) -> None:
    files = opened(release())
    assert f"'{name}' is not the one that was signed" in refused(archive({**files, name: b"evil"}), trusted)
    assert f"'{name}' is missing" in refused(archive({k: v for k, v in files.items() if k != name}), trusted)
    assert "'more.txt' is missing or not signed" in refused(archive({**files, "more.txt": b""}), trusted)


def test_a_changed_manifest(release: Release, trusted: list[PublicKey]) -> None:
    files = opened(release())
    manifest = files[MANIFEST].replace(b'"version":1', b'"version":9')
    assert "tampered" in refused(archive({**files, MANIFEST: manifest}), trusted)
    assert "no signature" in refused(archive({k: v for k, v in files.items() if k != SIGNATURE}), trusted)


def test_a_stranger_s_key(release: Release, stranger: PrivateKey, trusted: list[PublicKey]) -> None:
    data = release(signer=stranger)
    assert stranger.public.id in (told := refused(data, trusted)) and "foreign" in told
    assert "none at all" in refused(data, [])
    claimed = opened(data)
    claimed[SIGNATURE] = claimed[SIGNATURE].replace(stranger.public.id.encode(), trusted[0].id.encode())
    assert "tampered" in refused(archive(claimed), trusted)
    assert read_bundle(data, [*trusted, stranger.public]).key == stranger.public


def test_of_another_project_or_model_or_older(release: Release, trusted: list[PublicKey]) -> None:
    bundle = read_bundle(release(3), trusted)
    bundle.expect(project=bundle.manifest.project, model="digits", newer_than=3)
    for wanted, told in (
        ({"project": "other"}, "foreign: it is of the project"),
        ({"model": "other"}, "foreign: it holds the model 'digits'"),
        ({"newer_than": 4}, "downgrade: it has version 3"),
    ):
        with pytest.raises(BundleError, match=told):
            bundle.expect(**wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "a\\b", ".ssh/authorized_keys", "a//b", "x/"])
def test_names_that_lead_elsewhere(release: Release, trusted: list[PublicKey], name: str) -> None:
    assert "forbidden name" in refused(zipped({**opened(release()), name: b""}), trusted)
    with pytest.raises(BundleError):
        archive({name: b""})


def test_links_and_duplicates_and_bombs(release: Release, trusted: list[PublicKey]) -> None:
    files = opened(release())
    assert "link" in refused(zipped({**files, "link": b"/etc/passwd"}, external_attr=0o120777 << 16), trusted)
    bomb = zipped({**files, "bomb": bytes(10**7)}, compress_type=zipfile.ZIP_DEFLATED)
    assert "compressed file, 'bomb'" in refused(bomb, trusted)
    with pytest.warns(UserWarning, match="Duplicate"):
        buffer = io.BytesIO(release())
        with zipfile.ZipFile(buffer, "a") as stored:
            stored.writestr("card.md", b"twice")
    assert "two files of the name 'card.md'" in refused(buffer.getvalue(), trusted)


def test_an_incomplete_release_is_not_packed(content: Content, key: PrivateKey) -> None:
    for changed, told in (
        (replace(content, targets={}), "targets"),
        (replace(content, version=0), "version"),
        (replace(content, model="../digits"), "model"),
    ):
        with pytest.raises(BundleError, match=told):
            pack(changed, key)


def test_the_artifact_of_another_chip_is_for_nobody_else(content: Content, key: PrivateKey) -> None:
    one = content.targets["host-onnx-float"]

    def fits(**more: Any) -> Any:
        return replace(one, fits=DeviceClass(**{"runtime": RuntimeName.ONNX, "kind": "ssh", **more}))

    def ssh(**more: Any) -> DeviceSpec:
        return DeviceSpec.model_validate({"kind": "ssh", "address": "edge@192.0.2.7", **more})

    npu = RuntimeName.QNN_CONTEXT_BINARY
    targets = {
        "big": fits(chip="QCS8550"),
        "npu": fits(chip="QCS6490", runtime=npu),
        "lab": fits(labels=("lab",)),
        "pi": fits(devices=("pi",)),
        "tflite": fits(runtime=RuntimeName.TFLITE),
    }
    bundle = read_bundle(pack(replace(content, targets=targets), key), [key.public])
    assert bundle.slug_for("x", ssh(chip="QCS8550", runtimes=["onnx"])) == "big"
    assert bundle.slug_for("x", ssh(chip="QCS6490", runtimes=[npu])) == "npu"
    assert bundle.slug_for("x", ssh(chip="QCS8550", runtimes=[npu])) is None
    assert bundle.slug_for("x", ssh(runtimes=["onnx"], labels=["lab"])) == "lab"
    assert bundle.slug_for("pi", ssh(runtimes=["onnx"], labels=["lab"])) == "pi"
    chips = replace(content, targets={"big": targets["big"]})
    alone = read_bundle(pack(chips, key), [key.public])
    assert alone.slug_for("x", ssh(runtimes=["onnx"])) is None
    parcel = opened(bundle.parcel("big"))
    assert {name.split("/")[1] for name in parcel if name.startswith("targets/")} == {"big"}
