"""The same model is compiled for the same chip once."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.runtimes import qnn, qnn_cache

Compile = Callable[..., Artifact]


class StartedError(Exception):
    """The compiler was started."""


@pytest.fixture
def compiled(compile_qnn: Compile, tmp_path: Path) -> Artifact:
    """What was compiled for QCS8550 and is kept in `tmp_path`."""
    return compile_qnn(cache=tmp_path)


@pytest.fixture
def no_compiler(compiled: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the compiler is not to be started."""

    def refuse(*_: Any, **__: Any) -> str:
        raise StartedError

    monkeypatch.setattr(qnn, "run_child", refuse)


@pytest.mark.usefixtures("no_compiler")
def test_the_second_time_nothing_is_compiled_and_the_artifact_is_the_same(
    compiled: Artifact, compile_qnn: Compile, tmp_path: Path
) -> None:
    assert compile_qnn(cache=tmp_path).hash == compiled.hash


@pytest.mark.usefixtures("no_compiler")
def test_both_runtimes_share_a_compilation(compile_qnn: Compile, tmp_path: Path) -> None:
    found = compile_qnn(engine=RuntimeName.PRECOMPILED_QNN_ONNX, cache=tmp_path)
    assert found.details["model"] == "model.onnx"


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("change", [{"name": "QCS6490"}, {"options": {"vtcm_mb": 2}}], ids=["chip", "option"])
def test_for_another_chip_or_with_another_option_it_is_compiled_again(
    compile_qnn: Compile, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(StartedError):
        compile_qnn(**change, cache=tmp_path)


@pytest.mark.usefixtures("no_compiler")
def test_another_model_is_compiled(
    compile_qnn: Compile, with_operator: Callable[..., Artifact], tmp_path: Path
) -> None:
    with pytest.raises(StartedError):
        compile_qnn(source=with_operator("Abs", "MaxPool"), cache=tmp_path)


def test_other_versions_are_another_compilation() -> None:
    keys = {qnn_cache.key(b"model", {}, {"onnxruntime-qnn": version}) for version in ("2.7.0", "2.8.0")}
    assert len(keys) == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_compilation_is_made_again(
    compiled: Artifact, compile_qnn: Compile, tmp_path: Path, damage: str
) -> None:
    (kept,) = tmp_path.glob("*.zip")
    whole = kept.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    kept.write_bytes({"truncated": whole[:middle], "empty": b"", "flipped": flipped}[damage])
    found = compile_qnn(cache=tmp_path)
    assert json.loads(found.files["tensors.json"])["inputs"] == json.loads(compiled.files["tensors.json"])["inputs"]
    assert qnn_cache.read(tmp_path, kept.stem) is not None


def test_no_damage_anywhere_goes_unnoticed(tmp_path: Path) -> None:
    files = {"report.json": b"{}", "model.onnx": bytes(100)}
    qnn_cache.write(tmp_path, "key", files)
    path = tmp_path / "key.zip"
    whole = path.read_bytes()
    assert zipfile.is_zipfile(path)
    assert qnn_cache.read(tmp_path, "key") == files
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
        assert qnn_cache.read(tmp_path, "key") is None


def test_a_compilation_that_failed_is_not_kept(
    compile_qnn: Compile, exported: dict[Any, Artifact], tmp_path: Path
) -> None:
    from edge_pipeline.core.errors import CompileError

    with pytest.raises(CompileError):
        compile_qnn(time_limit_s=0.1, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_those_used_longest_ago_go_first(tmp_path: Path) -> None:
    for index in range(qnn_cache.MOST):
        qnn_cache.write(tmp_path, str(index), {"a": b"b"})
        os.utime(tmp_path / f"{index}.zip", (index, index))
    assert qnn_cache.read(tmp_path, "0") == {"a": b"b"}  # which counts as a use
    qnn_cache.write(tmp_path, "new", {"a": b"b"})
    names = {path.stem for path in tmp_path.iterdir()}
    assert len(names) == qnn_cache.MOST
    assert {"0", "new"} <= names
    assert "1" not in names


def test_a_kept_compilation_is_a_model_that_onnx_reads(compiled: Artifact, tmp_path: Path) -> None:
    (kept,) = tmp_path.glob("*.zip")
    files = qnn_cache.read(tmp_path, kept.stem)
    assert files is not None
    assert onnx.load_from_string(files["model.onnx"]).graph.node[0].op_type == "EPContext"
