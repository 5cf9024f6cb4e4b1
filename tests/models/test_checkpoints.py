import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import checkpoints
from edge_pipeline.models.classifier import SmallCNN


class Malicious:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def network() -> torch.nn.Module:
    return SmallCNN(1, 10)


def test_a_state_comes_back_bit_for_bit(network: torch.nn.Module) -> None:
    state = {"net": network.state_dict(), "epoch": 3, "history": [{"loss": 0.5}], "name": "digits"}
    found = checkpoints.state_from_bytes(checkpoints.state_to_bytes(state), "x")
    assert {key: found[key] for key in ("epoch", "history", "name")} == {
        "epoch": 3,
        "history": [{"loss": 0.5}],
        "name": "digits",
    }
    assert all(torch.equal(value, found["net"][key]) for key, value in network.state_dict().items())


def test_weights_of_the_same_network_can_be_loaded(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "start.pt")
    other = SmallCNN(1, 10)
    checkpoints.load_weights(other, tmp_path / "start.pt")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused_by_name(network: torch.nn.Module, share: float) -> None:
    whole = checkpoints.state_to_bytes(network.state_dict())
    with pytest.raises(ModelError, match=r"checkpoint start\.pt is truncated or not a PyTorch checkpoint"):
        checkpoints.state_from_bytes(whole[: int(share * len(whole))], "start.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(
    network: torch.nn.Module, tmp_path: Path, legacy: bool
) -> None:
    content = {**network.state_dict(), "extra": Malicious(f"touch {tmp_path / 'executed'}")}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="was refused: loading it could run code"):
        checkpoints.load_weights(network, tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_plain_pickle_with_code_is_refused_and_the_code_not_run(network: torch.nn.Module, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Malicious(f"touch {tmp_path / 'executed'}")))
    with pytest.raises(ModelError):
        checkpoints.load_weights(network, tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_whole_pickled_module_is_refused_with_what_to_save_instead(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(network, tmp_path / "module.pt")
    with pytest.raises(ModelError, match=r"Save `model\.state_dict\(\)` only"):
        checkpoints.load_weights(network, tmp_path / "module.pt")


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(2), 3])
def test_something_else_than_a_dictionary_is_refused_naming_what_it_is(content: Any) -> None:
    with pytest.raises(ModelError, match=f"holds a {type(content).__name__}, not a state dict"):
        checkpoints.state_from_bytes(checkpoints.state_to_bytes(content), "x")


@pytest.mark.parametrize("content", [b"hello, this is text", struct.pack("<Q", 2) + b"{}", b"\x89PNG\r\n\x1a\n"])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"start\.pt"):
        checkpoints.state_from_bytes(content, "start.pt")


def test_weights_of_another_network_are_refused_naming_what_differs(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(SmallCNN(1, 7).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"belongs to another network: .*head") as raised:
        checkpoints.load_weights(network, tmp_path / "other.pt")
    assert str(tmp_path / "other.pt") in str(raised.value)


def test_a_missing_checkpoint_is_refused_with_the_key_to_correct(network: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pt does not exist; correct `finetune\.checkpoint`"):
        checkpoints.load_weights(network, tmp_path / "nowhere.pt")


@pytest.mark.parametrize("content", [b'{"a": 1}', struct.pack("<Q", 2) + b"{}", b"\x89PNG\r\n\x1a\n"], ids=str)
def test_a_file_of_another_kind_is_told_to_be_no_checkpoint(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a PyTorch checkpoint"):
        checkpoints.state_from_bytes(content, "start.pt")


def test_a_state_with_numbers_for_names_is_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({1: torch.zeros(1)}, tmp_path / "start.pt")
    with pytest.raises(ModelError):
        checkpoints.load_weights(network, tmp_path / "start.pt")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_common_wrappings_of_a_state_are_taken_off(
    network: torch.nn.Module, tmp_path: Path, wrapper: str, prefix: str
) -> None:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "start.pt")
    other = SmallCNN(1, 10)
    checkpoints.load_weights(other, tmp_path / "start.pt")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


def test_a_layer_called_module_keeps_its_name(tmp_path: Path) -> None:
    network = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)})
    torch.save(network.state_dict(), tmp_path / "start.pt")
    checkpoints.load_weights(network, tmp_path / "start.pt")


def test_a_wrapped_list_is_no_state(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": [torch.zeros(1)]}, tmp_path / "start.pt")
    with pytest.raises(ModelError, match=r"1 unexpected: state_dict \(list\)"):
        checkpoints.load_weights(network, tmp_path / "start.pt")


def test_what_differs_is_said_with_shapes_and_counts(network: torch.nn.Module, tmp_path: Path) -> None:
    state = {**network.state_dict(), "head.weight": torch.zeros(7, 96), "tail.weight": torch.zeros(2, 3)}
    del state["head.bias"]
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(ModelError) as raised:
        checkpoints.load_weights(network, tmp_path / "other.pt")
    message = str(raised.value)
    assert "1 missing: head.bias (10)" in message
    assert "1 unexpected: tail.weight (2x3)" in message
    assert "1 of another shape: head.weight (7x96) for (10x96)" in message


def test_a_wholly_different_checkpoint_is_told_of_in_bounds(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({f"layer{i}.{'x' * 5000}": torch.zeros(i + 1) for i in range(2000)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"2000 unexpected: .* and 1995 more") as raised:
        checkpoints.load_weights(network, tmp_path / "other.pt")
    assert "layer4.x" in str(raised.value)
    assert "layer5.x" not in str(raised.value)
    assert len(str(raised.value)) < 3000


def test_nothing_is_loaded_of_a_checkpoint_that_does_not_fit(network: torch.nn.Module, tmp_path: Path) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.save(SmallCNN(1, 7).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError):
        checkpoints.load_weights(network, tmp_path / "other.pt")
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_batch_norms_of_before_they_counted_are_taken(network: torch.nn.Module, tmp_path: Path) -> None:
    old = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pt")
    other = SmallCNN(1, 10)
    checkpoints.load_weights(other, tmp_path / "old.pt")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in old.items())


def test_published_keys_are_renamed_and_own_keys_kept(tmp_path: Path) -> None:
    class Renamed(torch.nn.Sequential):
        published_keys = ((r"^fc(\d)\.", r"\1."),)

    network, source = (
        Renamed(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)),
        torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)),
    )
    for name, state in {
        "own": source.state_dict(),
        "published": {f"fc{key}": value for key, value in source.state_dict().items()},
    }.items():
        torch.save(state, tmp_path / f"{name}.pt")
        checkpoints.load_weights(network, tmp_path / f"{name}.pt")
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in source.state_dict().items())


def test_filling_says_which_file_does_not_fit(network: torch.nn.Module) -> None:
    with pytest.raises(ModelError, match=r"weights\.pt belongs to another network: 2 of another shape"):
        checkpoints.fill(network, SmallCNN(1, 7).state_dict(), "weights.pt")
