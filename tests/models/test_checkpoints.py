import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ModelSpec


class Malicious:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def network(spec: ModelSpec) -> torch.nn.Module:
    return classifier.build(spec)


def test_a_state_comes_back_bit_for_bit(network: torch.nn.Module) -> None:
    state = {"net": network.state_dict(), "epoch": 3, "history": [{"loss": 0.5}], "name": "digits"}
    found = classifier.state_from_bytes(classifier.state_to_bytes(state), "x")
    assert {key: found[key] for key in ("epoch", "history", "name")} == {
        "epoch": 3,
        "history": [{"loss": 0.5}],
        "name": "digits",
    }
    assert all(torch.equal(value, found["net"][key]) for key, value in network.state_dict().items())


def test_weights_of_the_same_network_can_be_loaded(network: torch.nn.Module, spec: ModelSpec, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "start.pt")
    other = classifier.build(spec)
    classifier.load_weights(other, tmp_path / "start.pt")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused_by_name(network: torch.nn.Module, share: float) -> None:
    whole = classifier.state_to_bytes(network.state_dict())
    with pytest.raises(ModelError, match=r"checkpoint start\.pt is truncated or not a PyTorch checkpoint"):
        classifier.state_from_bytes(whole[: int(share * len(whole))], "start.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(
    network: torch.nn.Module, tmp_path: Path, legacy: bool
) -> None:
    content = {**network.state_dict(), "extra": Malicious(f"touch {tmp_path / 'executed'}")}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="was refused: loading it could run code"):
        classifier.load_weights(network, tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_plain_pickle_with_code_is_refused_and_the_code_not_run(network: torch.nn.Module, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Malicious(f"touch {tmp_path / 'executed'}")))
    with pytest.raises(ModelError):
        classifier.load_weights(network, tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_whole_pickled_module_is_refused_with_what_to_save_instead(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(network, tmp_path / "module.pt")
    with pytest.raises(ModelError, match=r"Save `model\.state_dict\(\)` only"):
        classifier.load_weights(network, tmp_path / "module.pt")


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(2), 3])
def test_something_else_than_a_dictionary_is_refused_naming_what_it_is(content: Any) -> None:
    with pytest.raises(ModelError, match=f"holds a {type(content).__name__}, not a state dict"):
        classifier.state_from_bytes(classifier.state_to_bytes(content), "x")


@pytest.mark.parametrize("content", [b"hello, this is text", struct.pack("<Q", 2) + b"{}", b"\x89PNG\r\n\x1a\n"])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"start\.pt"):
        classifier.state_from_bytes(content, "start.pt")


def test_weights_of_another_network_are_refused_naming_what_differs(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(classifier.build(ModelSpec(recipe="small_cnn", classes=7)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"belongs to another network: .*head") as raised:
        classifier.load_weights(network, tmp_path / "other.pt")
    assert str(tmp_path / "other.pt") in str(raised.value)


def test_a_missing_checkpoint_is_refused_with_the_key_to_correct(network: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pt does not exist; correct `finetune\.checkpoint`"):
        classifier.load_weights(network, tmp_path / "nowhere.pt")


@pytest.mark.parametrize("content", [b'{"a": 1}', struct.pack("<Q", 2) + b"{}", b"\x89PNG\r\n\x1a\n"], ids=str)
def test_a_file_of_another_kind_is_told_to_be_no_checkpoint(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a PyTorch checkpoint"):
        classifier.state_from_bytes(content, "start.pt")


def test_a_state_with_numbers_for_names_is_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({1: torch.zeros(1)}, tmp_path / "start.pt")
    with pytest.raises(ModelError):
        classifier.load_weights(network, tmp_path / "start.pt")
