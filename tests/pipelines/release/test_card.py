"""The model card tells what was measured and nothing else."""

from edge_pipeline.core.types import Artifact
from edge_pipeline.models.spec import ClassifierSpec
from edge_pipeline.pipelines.release.card import model_card

INTERFACE = {
    "inputs": [{"name": "image", "shape": [1, 1, 8, 8], "dtype": "float32"}],
    "outputs": [{"name": "logits", "shape": [1, 10], "dtype": "float32"}],
}


def row(target, **numbers):
    measured = {"accuracy": 0.98, "latency_p50_ms": 0.5, "energy_mj": None, "npu_layers_pct": 0.0, "warnings": ""}
    return {"target": target, "device_kind": "host", **measured, **numbers}


def card(rows, rules=(), **details):
    about = {"recipe": "classifier", "interface": INTERFACE, "parameters": 75370, "epochs": 3, "best_epoch": 2}
    weights = Artifact("weights", {}, details={**about, **details})
    lineages = {one["target"]: {"dataset": "d" * 64, "compiled": one["target"][-1] * 64} for one in rows}
    return model_card("digits", ClassifierSpec(recipe="classifier"), weights, rows, lineages, rules)


def test_only_what_was_measured_has_a_column():
    text = card([row("digits@host/onnx/float"), row("digits@host/onnx/w8a8", latency_p50_ms=None)])
    assert "| target | accuracy | p50 ms |" in text
    assert "| digits@host/onnx/w8a8 | 98.00% | - |" in text
    assert "energy" not in text
    assert "on NPU" not in text


def test_an_emulator_is_said_to_tell_no_times():
    text = card([row("digits@npu/qnn/w8a8", device_kind="htp_emulator", npu_layers_pct=100.0)])
    assert "- digits@npu/qnn/w8a8: emulated; no times and no memory" in text
    assert "| 100% |" in text


def test_warnings_rules_and_lineage_are_told():
    rules = [("digits@host/onnx/a: top1 >= 0.9", "98% / 90%", "met"), ("a | b", "", "broken")]
    text = card([row("digits@host/onnx/a", warnings="noisy"), row("digits@host/onnx/b")], rules)
    assert "- digits@host/onnx/a: noisy" in text
    assert "| digits@host/onnx/a: top1 >= 0.9 | 98% / 90% | met |" in text
    assert "| a / b |  | broken |" in text
    assert f"- dataset: `{'d' * 64}`" in text
    assert f"- digits@host/onnx/b: compiled `{'b' * 16}`" in text


def test_without_gates_or_training_it_says_so():
    text = card([row("digits@host/onnx/a")], epochs=None)
    assert "There were no gates for this model." in text
    assert "trained for" not in text
    assert "75,370 parameters" in text
