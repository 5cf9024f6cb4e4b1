from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision, Validation
from edge_pipeline.pipelines.compare.differences import Difference, differences, differences_table
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.validate.outputs import keep, kept

Results = Callable[..., TargetResults]
Change = Callable[[Artifact, Callable[[Any], Any]], Artifact]


@pytest.fixture
def real(validated: dict[Precision, tuple[Validation, Artifact]]) -> Artifact:
    """The predictions of the w8a8 target."""
    return validated[Precision.W8A8][1]


def only(found: list[Difference]) -> Difference:
    (one,) = found
    return one


def test_a_device_that_computes_the_same_agrees(results: Results) -> None:
    one = only(differences([results("host"), results("board")]))
    assert (one.first, one.second) == ("digits@host/onnx/w8a8", "digits@board/onnx/w8a8")
    assert (one.sqnr_db, one.max_difference, one.top1_agreement, one.beyond) == (200, 0, 1, False)


def test_one_sample_that_differs_is_named_by_its_index_in_the_dataset(
    results: Results, changed: Change, real: Artifact
) -> None:
    def disturb(logits: Any) -> Any:
        logits[5] = np.roll(logits[5], 1)
        return logits

    one = only(differences([results("host"), results("board", predictions=changed(real, disturb))]))
    (logits,) = kept(real)
    other = logits.copy()
    other[5] = np.roll(other[5], 1)
    assert one.beyond
    assert one.sqnr_db == pytest.approx(sqnr_db(logits, other))
    assert one.max_difference == pytest.approx(np.abs(logits - other).max())
    assert one.top1_agreement == pytest.approx(63 / 64)
    assert one.worst[0] == (real.details["outputs"][5], pytest.approx(sqnr_db(logits[5], other[5])))
    assert [db for _, db in one.worst[1:]] == [200, 200]
    assert (one.output, one.samples) == ("logits", 64)


def test_noise_of_a_known_size_is_measured_and_compared_with_the_tolerance(
    results: Results, changed: Change, real: Artifact
) -> None:
    def noisy(logits: Any) -> Any:
        noise = np.random.default_rng(0).standard_normal(logits.shape)
        wanted = np.square(logits).mean() / 1000  # 30 dB
        return (logits + noise * np.sqrt(wanted / np.square(noise).mean())).astype(np.float32)

    pair = [results("host"), results("board", predictions=changed(real, noisy))]
    usual = only(differences(pair))
    assert usual.sqnr_db == pytest.approx(30, abs=0.01)
    assert (usual.tolerance_db, usual.beyond) == (24, False)
    strict = only(differences(pair, tolerance_db=35))
    assert (strict.tolerance_db, strict.beyond) == (35, True)


def test_float_must_agree_to_60_db(
    results: Results, changed: Change, validated: dict[Precision, tuple[Validation, Artifact]]
) -> None:
    real = validated[Precision.FLOAT][1]
    for factor, beyond in ((1.01, True), (1.0001, False)):
        scaled = changed(real, lambda logits, factor=factor: logits * np.float32(factor))
        pair = [results("host", Precision.FLOAT), results("board", Precision.FLOAT, predictions=scaled)]
        assert only(differences(pair)).beyond is beyond


def test_targets_of_different_exported_models_are_not_compared(
    results: Results, real: Artifact, validated: dict[Precision, tuple[Validation, Artifact]]
) -> None:
    assert differences([results("host", Precision.FLOAT), results("host", Precision.W8A8)]) == []
    older = replace(real, parents={**real.parents, "exported": "older"})
    assert differences([results("host"), results("board", predictions=older)]) == []


def test_the_images_that_both_have_are_compared(results: Results, changed: Change, real: Artifact) -> None:
    few = changed(real, lambda logits: logits[:16])
    few = replace(few, details={**few.details, "outputs": few.details["outputs"][:16]})
    for pair in ([results("host"), results("npu", predictions=few)], [results("npu", predictions=few), results()]):
        one = only(differences(pair))
        assert (one.samples, one.sqnr_db) == (16, 200)


def test_a_target_without_outputs_is_left_out(results: Results) -> None:
    assert differences([results("host"), replace(results("board"), predictions=None)]) == []


def test_the_pair_that_differs_most_comes_first(results: Results, changed: Change, real: Artifact) -> None:
    little, much = (changed(real, lambda x, f=f: x * np.float32(f)) for f in (1.001, 1.5))
    found = differences([results("host"), results("a", predictions=little), results("b", predictions=much)])
    assert [{one.first, one.second} for one in found][-1] == {"digits@host/onnx/w8a8", "digits@a/onnx/w8a8"}
    assert [one.beyond for one in found] == [True, True, False]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_agree_with_nothing(
    results: Results, changed: Change, real: Artifact, number: float
) -> None:
    def spoil(logits: Any) -> Any:
        logits[2, 3] = number
        return logits

    found = differences([results("host"), results("board", predictions=changed(real, spoil))])
    assert only(found).beyond
    assert only(found).worst[0] == (real.details["outputs"][2], -200)
    assert differences_table(found)["max_difference"].tolist() == [None]


def test_the_table_has_a_line_for_every_pair(results: Results) -> None:
    table = differences_table(differences([results("host"), results("a"), results("b")]))
    assert len(table) == 3
    first = table.to_dict("records")[0]
    assert (first["beyond_tolerance"], first["samples"], first["tolerance_db"]) == (False, 64, 24)
    assert first["worst"].count(" (200.0 dB)") == 3
    assert list(differences_table([]).columns) == list(table.columns)


def test_label_maps_agree_by_their_pixels_and_other_outputs_have_no_decision(
    results: Results, changed: Change, real: Artifact
) -> None:
    def with_kind(kind: str, maps: Any) -> Artifact:
        interface = {**real.details["interface"], "postprocessing": {"kind": kind}}
        return replace(changed(real, lambda _: maps), details={**real.details, "interface": interface})

    maps = np.random.default_rng(0).random((64, 7, 4, 8)).astype(np.float32)
    other = maps.copy()
    other[0, :, 0, 0] = maps[0, ::-1, 0, 0]
    for kind, expected in (("class_map", 1 - 1 / (64 * 4 * 8)), ("raw", None)):
        pair = [results(device, predictions=with_kind(kind, x)) for device, x in (("host", maps), ("board", other))]
        assert only(differences(pair)).top1_agreement == (expected and pytest.approx(expected))


def test_of_several_outputs_the_one_that_agrees_least_is_named_and_class_indices_are_no_signal(
    results: Results, real: Artifact
) -> None:
    names = ("boxes", "scores", "class_idx")
    shapes = {"boxes": (1, 6, 4), "scores": (1, 6), "class_idx": (1, 6)}
    tensors = [{"name": name, "shape": shapes[name], "dtype": "float32"} for name in names]
    interface = {**real.details["interface"], "outputs": tensors, "postprocessing": {"kind": "yolo_boxes"}}
    generator = np.random.default_rng(0)
    first = [generator.random((64, *shapes[name][1:])).astype(np.float32) for name in names]
    factors = {"boxes": 1.001, "scores": 1.1, "class_idx": 9.0}
    second = [one * np.float32(factors[name]) for name, one in zip(names, first, strict=True)]
    made = [
        replace(real, files={"outputs.npz": keep(tuple(one))[0]}, details={**real.details, "interface": interface})
        for one in (first, second)
    ]
    one = only(differences([results("a", predictions=made[0]), results("b", predictions=made[1])]))
    assert (one.output, one.top1_agreement) == ("scores", None)
    assert one.sqnr_db == pytest.approx(20, abs=0.01)
    assert one.max_difference == pytest.approx(0.1 * first[1].max(), rel=1e-3)
