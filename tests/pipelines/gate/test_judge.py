"""What becomes of the rules of gates.yml on what was measured."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import Failure, Precision, Profile, RuntimeName, Validation
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.gate.judge import COMPLETE, Judgement, Verdict, judge
from edge_pipeline.pipelines.gate.spec import GateSpec, RuleSpec

Make = Any
ELKS = tuple(range(2, 300, 30))
STALE = "profile, validation: outdated, there is a newer compiled artifact than the one it was made from"


@dataclass(frozen=True)
class Champion:
    version: int = 7


def judged(
    project: Any, *found: TargetResults, champion: TargetResults | None = None, first: bool = False
) -> Judgement:
    """Judge; `first` where there is no champion, else `champion` is all that is known of it."""
    kept = [champion] if champion else []
    return judge("digits", project, found, kept, None if first else Champion())


def of(judgement: Judgement, rule: str, target: str = "") -> Verdict:
    (found,) = (one for one in judgement.verdicts if one.rule == rule and target in one.target)
    return found


def without(one: TargetResults, kind: type, *problems: str) -> TargetResults:
    """Return a target that lacks a result."""
    left = tuple(result for result in one.results if not isinstance(result, kind))
    return replace(one, results=left, problems=problems)


def test_a_model_without_rules_must_only_be_measured(make_project: Make, measured: Make) -> None:
    found = judged(make_project(), measured(), first=True)
    assert found.passed
    assert [one.rule for one in found.verdicts] == [COMPLETE]
    assert found.notices == ("gates.yml has no rules for digits: all that is asked is that its targets are measured",)
    assert found.champion is None


def test_no_verdict_at_all_is_no_pass(make_project: Make, measured: Make) -> None:
    assert not Judgement("digits", ()).passed
    project = make_project()
    found = judged(replace(project, gates={"digits": GateSpec(precisions=("float",))}), measured(), first=True)
    assert not found.passed
    assert of(found, "there is a target to judge").reason == "there is none"


def test_absolute_rules(make_project: Make, measured: Make) -> None:
    project = make_project({"rules": ["latency_p50_ms <= 2 ms", "peak_memory_mb <= 40", "accuracy >= 90%"]})
    found = judged(project, measured(), first=True)
    assert [one.outcome for one in found.verdicts] == ["met", "met", "broken", "met"]
    (broken,) = found.broken
    assert (broken.target, broken.value, broken.limit) == ("digits@host/onnx/w8a8", 50.0, 40.0)
    assert not found.passed
    assert of(found, "latency_p50_ms <= 2 ms").limit == 2.0


def test_a_rule_that_nobody_can_meet_is_broken_everywhere(make_project: Make, measured: Make) -> None:
    project = make_project({"rules": ["accuracy > 100%"]}, devices=("host", "rb3"))
    found = judged(project, measured(), measured("rb3"), first=True)
    assert [(one.target, one.value, one.limit) for one in found.broken] == [
        ("digits@host/onnx/w8a8", 1.0, 1.0),
        ("digits@rb3/onnx/w8a8", 1.0, 1.0),
    ]


class TestWhatIsMissingNeverPasses:
    RULES = ("accuracy >= 0", "latency_p50_ms <= 1000", "accuracy >= champion - 50 points")

    def project(self, make_project: Make, *more: str) -> Any:
        return make_project({"rules": [*self.RULES, *more]})

    def broken(self, judgement: Judgement, *rules: str) -> None:
        assert {one.rule for one in judgement.broken} == set(rules)

    @pytest.mark.parametrize("first", [True, False])
    def test_a_target_that_was_never_measured(self, make_project: Make, measured: Make, first: bool) -> None:
        found = judged(self.project(make_project), champion=measured(), first=first)
        self.broken(found, COMPLETE, *self.RULES)
        assert {one.reason for one in found.verdicts} == {"not measured yet"}

    @pytest.mark.parametrize("first", [True, False])
    def test_an_outdated_one(self, make_project: Make, measured: Make, first: bool) -> None:
        stale = without(measured(), Profile | Validation, STALE)
        found = judged(self.project(make_project), stale, champion=measured(), first=first)
        self.broken(found, COMPLETE, *self.RULES)
        assert {one.reason for one in found.verdicts} == {STALE}

    def test_half_of_one(self, make_project: Make, measured: Make) -> None:
        half = without(measured(), Profile, "profile: not measured yet")
        found = judged(self.project(make_project), half, champion=measured())
        self.broken(found, COMPLETE, "latency_p50_ms <= 1000")
        assert {one.reason for one in found.broken} == {"profile: not measured yet"}

    def test_a_failure(self, make_project: Make, measured: Make) -> None:
        one = without(measured(), Profile)
        one = replace(one, results=(*one.results, Failure("profile", one.target.name, "the board went away")))
        found = judged(self.project(make_project), one, champion=measured())
        assert of(found, "latency_p50_ms <= 1000").reason == "profile failed: the board went away"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("first", [True, False])
    def test_what_is_no_number(self, make_project: Make, measured: Make, value: float, first: bool) -> None:
        bad = measured(accuracy=value, latency_p50_ms=value)
        found = judged(self.project(make_project), bad, champion=measured(), first=first)
        self.broken(found, *self.RULES)
        assert of(found, "accuracy >= 0").reason == f"accuracy is {value}, which is no number"

    def test_what_the_device_does_not_tell(self, make_project: Make, measured: Make) -> None:
        found = judged(self.project(make_project, "energy <= 100 J"), measured(), champion=measured())
        self.broken(found, "energy <= 100 J")
        assert of(found, "energy <= 100 J").reason == "energy_mj was not measured"

    def test_a_misspelt_metric_of_the_users_own(self, make_project: Make, measured: Make) -> None:
        project = make_project({"rules": ["missed_signes <= 3"]}, model={"metric": "my.module:function"})
        found = judged(project, measured(missed_signs=1.0), first=True)
        assert of(found, "missed_signes <= 3").reason == (
            "missed_signes was not measured; did you mean 'missed_signs'?"
        )

    def test_a_validation_that_says_nothing(self, make_project: Make, measured: Make) -> None:
        one = measured()
        profile, validation = one.results
        unsure = replace(validation, metrics={}, details={"unverified": "two runs differ"})
        found = judged(self.project(make_project), replace(one, results=(profile, unsure)), first=True)
        self.broken(found, COMPLETE, "accuracy >= 0", "accuracy >= champion - 50 points")
        assert {one.reason for one in found.broken} == {"unverified: two runs differ"}
        assert not judged(make_project(), replace(one, results=(profile, unsure)), first=True).passed


class TestAnEmulator:
    ALL = ("latency_p99_ms <= 33 ms", "accuracy >= 90%")

    def pair(self, measured: Make) -> tuple[TargetResults, TargetResults]:
        return measured(), measured("npu", runtime=RuntimeName.QNN_CONTEXT_BINARY)

    def project(self, make_project: Make, *rules: Any, **more: Any) -> Any:
        both = {"devices": ("host", "npu"), "runtimes": ("onnx", "qnn_context_binary")}
        return make_project({"rules": list(rules)}, **both, **more)

    def test_its_missing_latency_does_not_pass(self, make_project: Make, measured: Make) -> None:
        found = judged(self.project(make_project, *self.ALL), *self.pair(measured), first=True)
        (broken,) = found.broken
        assert broken.target == "digits@npu/qnn_context_binary/w8a8"
        assert broken.value is None
        assert broken.reason == "an emulator does not tell latency_p99_ms; limit the rule to real devices with `on`"

    @pytest.mark.parametrize("on", ["host", ["host"]])
    def test_a_rule_can_be_limited_to_devices(self, make_project: Make, measured: Make, on: Any) -> None:
        project = self.project(make_project, {"rule": self.ALL[0], "on": on}, self.ALL[1])
        found = judged(project, *self.pair(measured), first=True)
        assert found.passed
        assert [one.target for one in found.verdicts if one.rule == self.ALL[0]] == ["digits@host/onnx/w8a8"]
        assert sum(one.rule == self.ALL[1] for one in found.verdicts) == 2

    @pytest.mark.parametrize(("layers", "outcome"), [(100.0, "met"), (80.0, "broken"), (None, "broken")])
    def test_what_models_yml_requires_of_the_npu_is_a_rule_too(
        self, make_project: Make, measured: Make, layers: float | None, outcome: str
    ) -> None:
        project = self.project(make_project, require={"npu_layers": "100%"})
        host, npu = self.pair(measured)
        profile, validation = npu.results
        metrics = {"size_mb": 0.1} | ({} if layers is None else {"npu_layers_pct": layers})
        npu = replace(npu, results=(replace(profile, metrics=metrics), validation))
        found = judged(project, host, npu, first=True)
        verdict = of(found, "require.npu_layers of models.yml: 100%")
        assert (verdict.target, verdict.outcome) == ("digits@npu/qnn_context_binary/w8a8", outcome)


class TestTheChampion:
    RULE = "accuracy >= champion - 0.5 points"

    def test_a_first_release_passes_with_a_notice(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": [self.RULE, "accuracy >= 10%"]}), measured(), first=True)
        assert found.passed
        verdict = of(found, self.RULE)
        assert (verdict.outcome, verdict.limit, verdict.reason) == ("first release", None, "there is no champion")
        assert found.notices == (
            "digits has no champion yet, so 1 of 2 rules compare with nothing and are let pass "
            "(`first_release: allow`)",
        )

    def test_or_is_refused_where_gates_yml_says_so(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": [self.RULE], "first_release": "refuse"}), measured(), first=True)
        assert of(found, self.RULE).outcome == "broken"
        assert "`first_release: refuse`" in of(found, self.RULE).reason
        assert found.notices == ()

    def test_a_target_that_it_does_not_have_is_compared_with_nothing(self, make_project: Make, measured: Make) -> None:
        project = make_project({"rules": [self.RULE]}, precisions=("float", "w8a8"))
        found = judged(project, measured(), measured(precision=Precision.FLOAT), champion=measured())
        (broken,) = found.broken
        assert broken.target == "digits@host/onnx/float"
        assert broken.reason == "the champion, version 7, has no results of this target"
        assert found.champion == 7

    @pytest.mark.parametrize(
        ("lacks", "told"),
        [
            ({"accuracy": None}, "cannot be compared with: accuracy was not measured"),
            ({"accuracy": math.nan}, "cannot be compared with: accuracy is nan, which is no number"),
        ],
    )
    def test_a_number_that_it_does_not_have_breaks_the_rule(
        self, make_project: Make, measured: Make, lacks: dict[str, Any], told: str
    ) -> None:
        found = judged(make_project({"rules": [self.RULE]}), measured(), champion=measured(**lacks))
        assert of(found, self.RULE).reason == f"the champion, version 7, {told}"
        assert not found.passed

    def test_its_evidence_may_be_stale_or_gone(self, make_project: Make, measured: Make) -> None:
        project = make_project({"rules": [self.RULE]})
        assert not judged(project, measured()).passed
        stale = without(measured(), Profile | Validation, STALE)
        assert STALE in of(judged(project, measured(), champion=stale), self.RULE).reason

    def test_an_improvement_is_met(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": [self.RULE]}), measured(), champion=measured(wrong=range(60)))
        verdict = of(found, self.RULE)
        assert (verdict.outcome, verdict.value, verdict.limit) == ("met", 1.0, pytest.approx(0.795))
        assert found.notices == ()


class TestNoise:
    """300 test images. The candidate is wrong about other ones than the champion, and about a few more."""

    RULE = "accuracy >= champion - 0.5 points"
    CHAMPION = range(0, 30)
    ALIKE, WORSE = range(30, 63), range(30, 150)

    @pytest.mark.parametrize(
        ("wrong", "noise", "outcome"),
        [
            (ALIKE, "forgive", "within noise"),
            (ALIKE, "count", "broken"),
            (WORSE, "forgive", "broken"),
            (WORSE, "count", "broken"),
        ],
    )
    def test_a_drop_that_may_be_chance_is_no_regression(
        self, make_project: Make, measured: Make, wrong: Any, noise: str, outcome: str
    ) -> None:
        project = make_project({"rules": [self.RULE], "noise": noise})
        found = judged(project, measured(wrong=wrong), champion=measured(wrong=self.CHAMPION))
        verdict = of(found, self.RULE)
        assert verdict.outcome == outcome
        assert verdict.value == pytest.approx(1 - len(wrong) / 300)
        assert verdict.limit == pytest.approx(0.895)
        assert "95% interval of the change -" in verdict.reason
        assert "400 resamples of the same 300 test images" in verdict.reason
        assert found.passed == (outcome != "broken")

    def test_where_nothing_tells_the_noise_the_numbers_count(self, make_project: Make, measured: Make) -> None:
        project, champion = make_project({"rules": [self.RULE]}), measured(wrong=self.CHAMPION)
        found = judged(project, replace(measured(wrong=self.ALIKE), predictions=None), champion=champion)
        verdict = of(found, self.RULE)
        assert verdict.outcome == "broken"
        assert verdict.reason == "its noise is not known: the outcomes of single test images are not kept of both"

    def test_an_absolute_limit_knows_no_noise(self, make_project: Make, measured: Make) -> None:
        project = make_project({"rules": ["accuracy >= 90%"]})
        assert judged(project, measured(wrong=self.CHAMPION), first=True).passed
        assert not judged(project, measured(wrong=self.ALIKE), first=True).passed

    @pytest.mark.parametrize(
        ("centres", "outcome"), [((1.0, 1.2), "met"), ((1.1, 1.3), "within noise"), ((2.0, 2.2), "broken")]
    )
    def test_repeats_that_disagree_tell_how_far_a_latency_is_known(
        self, make_project: Make, measured: Make, centres: tuple[float, float], outcome: str
    ) -> None:
        jitter = np.linspace(-0.02, 0.02, 101)
        before = measured(times=[1.0 + jitter, 1.2 + jitter])
        after = measured(times=[centre + jitter for centre in centres])
        found = judged(make_project({"rules": ["p50 <= champion * 1.05"]}), after, champion=before)
        verdict = of(found, "p50 <= champion * 1.05")
        assert verdict.outcome == outcome
        assert verdict.limit == pytest.approx(1.155, rel=0.02)
        assert ("%, 400 resamples of 2 repeats" in verdict.reason) == (outcome != "met")


class TestClasses:
    RULES = ("accuracy >= champion - 5 points", {"per_class": "recall >= champion - 2 points"})

    def test_a_class_that_is_lost_is_found_behind_a_good_average(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": list(self.RULES)}), measured(wrong=ELKS), champion=measured())
        assert of(found, "accuracy >= champion - 5 points").outcome == "met"
        (broken,) = found.broken
        assert (broken.of_class, broken.value, broken.limit) == ("elk", 0.0, pytest.approx(0.98))
        assert broken.title == "recall >= champion - 2 points (class elk)"
        assert {one.of_class for one in found.verdicts if one.outcome == "met"} == {"", "cat", "dog"}

    def test_so_is_one_that_was_not_measured_any_more(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": list(self.RULES)}), measured(recall_elk=None), champion=measured())
        (broken,) = found.broken
        assert (broken.of_class, broken.value) == ("elk", None)
        assert broken.reason == "recall_elk was not measured"

    def test_one_elk_more_or_less_is_noise(self, make_project: Make, measured: Make) -> None:
        found = judged(make_project({"rules": list(self.RULES)}), measured(wrong=ELKS[:1]), champion=measured())
        (elk,) = (one for one in found.verdicts if one.of_class == "elk")
        assert (elk.outcome, elk.value) == ("within noise", pytest.approx(0.9))

    def test_a_class_that_no_test_image_shows_meets_no_absolute_limit(self, make_project: Make, measured: Make) -> None:
        rule = {"per_class": "recall >= 50%"}
        found = judged(make_project({"rules": [rule]}), measured(recall_elk=None), first=True)
        assert [one.of_class for one in found.broken] == ["elk"]

    def test_the_first_release_lets_only_measured_classes_pass(self, make_project: Make, measured: Make) -> None:
        project = make_project({"rules": [self.RULES[1]]})
        found = judged(project, measured(), first=True)
        assert [one.of_class for one in found.verdicts if one.outcome == "first release"] == ["cat", "dog", "elk"]
        found = judged(project, measured(recall_cat=None, recall_dog=None, recall_elk=None), first=True)
        assert [(one.rule, one.reason) for one in found.broken] == [
            ("recall >= champion - 2 points (every class)", "no class was measured")
        ]
        (broken, unmet) = judged(project, without(measured(), Validation, STALE), first=True).broken
        assert broken.reason == unmet.reason == STALE

    def test_a_rule_may_be_about_some_classes(self, make_project: Make, measured: Make) -> None:
        rule = {"per_class": "recall >= 50%", "classes": ["cat", "elks"]}
        found = judged(make_project({"rules": [rule]}), measured(wrong=ELKS), first=True)
        (broken,) = found.broken
        assert broken.of_class == "elks"
        assert broken.reason == "recall_elks was not measured; did you mean 'recall_elk'?"


class TestDevices:
    """`host` is fast, `rb3` and `pi` are slow unless told otherwise."""

    def judged(self, make_project: Make, measured: Make, fast: tuple[str, ...], **gate: Any) -> Judgement:
        names = ("host", "rb3", "pi")
        project = make_project({"rules": ["p99 <= 5 ms"], **gate}, devices=names)
        found = [measured(name, latency_p99_ms=2.0 if name in fast else 9.0) for name in names]
        return judged(project, *found, first=True)

    def outcomes(self, judgement: Judgement) -> dict[str, str]:
        return {
            one.target.partition("@")[2].partition("/")[0]: one.outcome
            for one in judgement.verdicts
            if one.rule == "p99 <= 5 ms"
        }

    def test_without_a_word_all_must_pass(self, make_project: Make, measured: Make) -> None:
        assert self.judged(make_project, measured, ("host", "rb3", "pi")).passed
        found = self.judged(make_project, measured, ("host", "rb3"))
        assert [one.target for one in found.broken] == ["digits@pi/onnx/w8a8"]

    @pytest.mark.parametrize(("required", "passed"), [("host", True), ("rb3", False), ("lab", False), ("ssh", False)])
    def test_only_those_that_are_required_refuse(
        self, make_project: Make, measured: Make, required: str, passed: bool
    ) -> None:
        found = self.judged(make_project, measured, ("host", "pi"), required=[required])
        assert found.passed == passed
        if required in ("host", "rb3"):
            others = {"rb3": "broken" if required == "rb3" else "tolerated", "host": "met", "pi": "met"}
            assert self.outcomes(found) == others

    @pytest.mark.parametrize(("at_least", "passed"), [(1, True), (2, False)])
    def test_a_number_of_the_rest(self, make_project: Make, measured: Make, at_least: int, passed: bool) -> None:
        found = self.judged(make_project, measured, ("host", "pi"), required=["host"], at_least=at_least)
        assert found.passed == passed
        rule = of(found, f"at least {at_least} of the devices rb3, pi meet every rule")
        assert (rule.value, rule.limit, rule.target) == (1, at_least, "digits")
        assert self.outcomes(found)["rb3"] == ("tolerated" if passed else "broken")
        assert rule.reason == ("" if passed else "only 1 of them do")

    def test_enough_others_do_not_make_up_for_one_that_is_required(self, make_project: Make, measured: Make) -> None:
        found = self.judged(make_project, measured, ("host", "pi"), required=["rb3"], at_least=2)
        assert [one.target for one in found.broken] == ["digits@rb3/onnx/w8a8"]

    def test_what_is_tolerated_is_still_told(self, make_project: Make, measured: Make) -> None:
        project = make_project({"required": ["host"]}, devices=("host", "rb3"))
        found = judged(project, measured(), first=True)
        assert found.passed
        assert of(found, COMPLETE, "rb3").outcome == "tolerated"
        assert of(found, COMPLETE, "rb3").reason == "not measured yet; rb3 need not pass"

    def test_precisions_that_are_not_to_be_shipped_are_not_judged(self, make_project: Make, measured: Make) -> None:
        project = make_project({"precisions": ["w8a8"]}, precisions=("float", "w8a8"))
        found = judged(project, measured(), first=True)
        assert found.passed
        assert {one.target for one in found.verdicts} == {"digits@host/onnx/w8a8"}


def test_what_the_profile_warns_of_is_said(make_project: Make, measured: Make) -> None:
    one = measured()
    profile, validation = one.results
    noisy = replace(one, results=(replace(profile, warnings=("the repeats differ by 40%",)), validation))
    found = judged(make_project(), noisy, first=True)
    assert found.passed
    assert "digits@host/onnx/w8a8: the repeats differ by 40%" in found.notices


def test_rules_that_nobody_checked_are_refused(make_project: Make, measured: Make) -> None:
    gate = GateSpec(rules=(RuleSpec(rule="acuracy > 1"), RuleSpec(rule="p50")))
    with pytest.raises(ConfigError, match="did you mean 'accuracy'") as raised:
        judged(replace(make_project(), gates={"digits": gate}), measured())
    assert len(raised.value.problems) == 2
