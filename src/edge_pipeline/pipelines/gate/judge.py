"""Judge the targets of a model by the rules of gates.yml, and by the champion where a rule says so."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import Profile, Target, Validation
from edge_pipeline.devices.summary import MEASURED
from edge_pipeline.pipelines.compare.changes import changes
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import complete, numbers
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.gate.measures import Measure
from edge_pipeline.pipelines.gate.rules import Rule
from edge_pipeline.pipelines.gate.spec import GateSpec, RuleSpec, chosen
from edge_pipeline.pipelines.gates import unmet

Outcome = Literal["met", "within noise", "first release", "tolerated", "broken"]

COMPLETE = "measured as it is now"
"""The rule that every target must meet whatever gates.yml says."""


@dataclass(frozen=True)
class Verdict:
    """What became of one rule on one target.

    Attributes:
        rule: its text.
        target: name of the target; for the rule `at_least` the model's.
        outcome: `broken` is the only one that refuses a release. `tolerated` is broken on a device that need not pass.
        value: what was measured; `None` if nothing was.
        limit: what it had to meet; `None` where the rule has no number, or nothing to compute it from.
        reason: why; empty where a value simply meets its limit.
        measure: the metric, for its unit; `None` for rules without one.
        of_class: the class it is about; empty where it is about all.
    """

    rule: str
    target: str
    outcome: Outcome
    value: float | None = None
    limit: float | None = None
    reason: str = ""
    measure: Measure | None = None
    of_class: str = ""

    @property
    def title(self) -> str:
        """The rule with its class."""
        return f"{self.rule} (class {self.of_class})" if self.of_class else self.rule


@dataclass(frozen=True)
class Judgement:
    """All verdicts of a model.

    Attributes:
        model: its name.
        verdicts: target by target.
        notices: what else must be said.
        champion: version of the release it was compared with; `None` where there is none.
    """

    model: str
    verdicts: tuple[Verdict, ...]
    notices: tuple[str, ...] = ()
    champion: int | None = None

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The verdicts that refuse a release."""
        return tuple(one for one in self.verdicts if one.outcome == "broken")

    @property
    def passed(self) -> bool:
        """Whether the model may be released; never without any verdict."""
        return bool(self.verdicts) and not self.broken


def judge(
    model: str,
    project: Project,
    found: Sequence[TargetResults],
    champion_found: Sequence[TargetResults],
    champion: Any = None,
) -> Judgement:
    """Judge a model.

    A number that is missing, or is none, meets no rule, and neither does what failed or is outdated.

    Args:
        model: which.
        project: the configuration.
        found: what was measured of its targets.
        champion_found: the same of the champion; empty where there is none.
        champion: the release that is the champion, with its `version`; `None` where there is none.

    Raises:
        ConfigError: a rule cannot be read.
    """
    gate, targets = project.gates.get(model, GateSpec()), project.targets(model)
    judged = gate.judged(targets)
    must = gate.must(judged, project.devices)
    court = _Court(model, project, gate, {one.target: one for one in champion_found}, champion)
    known = {one.target: one for one in found}
    by_device: dict[str, list[Verdict]] = {}
    for target in judged:
        by_device.setdefault(target.device, []).extend(court.target(known.get(target, _missing(target))))
    rest = {name: verdicts for name, verdicts in by_device.items() if name not in must}
    passed = sum(all(one.outcome != "broken" for one in verdicts) for verdicts in rest.values())
    verdicts = [one for name in by_device if name in must for one in by_device[name]]
    enough = passed >= (gate.at_least or 0)
    for name, ones in rest.items():
        why = f"{name} need not pass"
        verdicts += [_tolerated(one, why) if enough else one for one in ones]
    if gate.at_least:
        text = f"at least {gate.at_least} of the devices {', '.join(rest) or '(none)'} meet every rule"
        reason = "" if enough else f"only {passed} of them do"
        outcome: Outcome = "met" if enough else "broken"
        verdicts.append(Verdict(text, model, outcome, passed, gate.at_least, reason))
    if not judged:
        verdicts.append(Verdict("there is a target to judge", model, "broken", reason="there is none"))
    doubts = [
        f"{target.name}: {warning}"
        for target in judged
        for result in known.get(target, _missing(target)).results
        if isinstance(result, Profile)
        for warning in result.warnings
    ]
    return Judgement(model, tuple(verdicts), (*court.notices(), *doubts), getattr(champion, "version", None))


class _Court:
    """What all targets of a model are judged with."""

    def __init__(
        self, model: str, project: Project, gate: GateSpec, champions: Mapping[Target, TargetResults], champion: Any
    ) -> None:
        self._model, self._project, self._gate = model, project, gate
        self._champions, self._champion = champions, champion
        self._spec = project.models[model]
        self._rules: list[tuple[RuleSpec, Rule]] = []
        wrong = []
        for index, one in enumerate(gate.rules):
            try:
                self._rules.append((one, one.parsed(self._spec.task, None if self._spec.metric else ())))
            except ValueError as error:
                wrong.append(f"gates.yml: {model}.rules.{index}: {error}")
        if wrong:
            raise ConfigError(wrong)

    def notices(self) -> list[str]:
        """Return what is to be said beside the verdicts."""
        said = []
        if not self._rules:
            said.append(f"gates.yml has no rules for {self._model}: all that is asked is that its targets are measured")
        relative = [rule.text for _, rule in self._rules if rule.relative]
        if relative and self._champion is None and self._gate.first_release == "allow":
            said.append(
                f"{self._model} has no champion yet, so {len(relative)} of {len(self._rules)} rules compare with "
                "nothing and are let pass (`first_release: allow`)"
            )
        return said

    def target(self, one: TargetResults) -> list[Verdict]:
        """Return the verdicts on a target."""
        name, lacking = one.target.name, complete(one) or _unverified(one)
        verdicts = [Verdict(COMPLETE, name, "broken" if lacking else "met", reason=lacking)]
        require = self._spec.targets.require
        profile = next((result for result in one.results if isinstance(result, Profile)), None)
        if require.npu_layers is not None and one.target.runtime.npu and profile:
            why = unmet(profile, one.target.runtime, require)
            share = numbers(one).get("npu_layers_pct")
            measure, outcome = Measure("npu_layers_pct", "pct"), "broken" if why else "met"
            text = f"require.npu_layers of models.yml: {require.npu_layers:g}%"
            verdicts.append(Verdict(text, name, outcome, share, require.npu_layers, why, measure))  # type: ignore[arg-type]
        device = self._project.devices[one.target.device]
        for spec, rule in self._rules:
            if not spec.on or chosen(spec.on, one.target.device, device):
                verdicts += self._judged(rule, spec.classes, one)
        return verdicts

    def _judged(self, rule: Rule, classes: Iterable[str], one: TargetResults) -> list[Verdict]:
        if not rule.per_class:
            return [self._verdict(rule, rule.measure, one)]
        other = self._champions.get(one.target)
        names = tuple(classes) or self._classes(rule, one, other)
        if not names:
            reason = complete(one) or _unverified(one) or "no class was measured"
            return [Verdict(f"{rule.text} (every class)", one.target.name, "broken", reason=reason)]
        return [
            self._verdict(rule, replace(rule.measure, name=f"{rule.measure.name}{name}"), one, name) for name in names
        ]

    def _classes(self, rule: Rule, one: TargetResults, other: TargetResults | None) -> list[str]:
        """Return the classes that a rule is about: those that the champion or, without one, the dataset has.

        A class that no test image of either shows is left out where it would be compared with nothing.
        """
        prefix, sides = rule.measure.name, [one, *([other] if other else [])]
        named = [
            name
            for side in sides
            for result in side.results
            if isinstance(result, Validation)
            for name in result.classes
        ]
        measured = {key.removeprefix(prefix) for side in sides for key in numbers(side) if key.startswith(prefix)}
        return [name for name in dict.fromkeys(named) if name in measured or not rule.relative]

    def _verdict(self, rule: Rule, measure: Measure, one: TargetResults, of_class: str = "") -> Verdict:
        value = numbers(one).get(measure.name)
        made = Verdict(rule.text, one.target.name, "broken", value, measure=measure, of_class=of_class)
        if not rule.relative:
            made = replace(made, limit=rule.limit())
        if made.value is None:
            return replace(made, reason=_why(measure, one))
        if not rule.relative:
            return self._against(rule, made)
        if self._champion is None:
            allowed = self._gate.first_release == "allow"
            why = "there is no champion" + ("" if allowed else ", and gates.yml says `first_release: refuse`")
            return replace(made, outcome="first release" if allowed else "broken", reason=why)
        other = self._champions.get(one.target)
        before = numbers(other).get(measure.name) if other else None
        if other is None or before is None:
            who = f"the champion, version {self._champion.version},"
            why = _why(measure, other) if other else "has no results of this target"
            return replace(made, reason=f"{who} {why if other is None else f'cannot be compared with: {why}'}")
        return self._compared(rule, replace(made, limit=rule.limit(before)), one, other)

    def _against(self, rule: Rule, made: Verdict) -> Verdict:
        assert made.value is not None
        assert made.limit is not None
        return replace(made, outcome="met" if rule.met(made.value, made.limit) else "broken")

    def _compared(self, rule: Rule, made: Verdict, one: TargetResults, other: TargetResults) -> Verdict:
        made = self._against(rule, made)
        assert made.measure is not None
        if made.outcome == "met":
            return made
        change = changes(one, other, [made.measure.name]).get(made.measure.name)
        if change is None or change.low is None or change.high is None:
            why = f"its noise is not known: {change.basis}" if change and change.basis else ""
            return replace(made, reason=why)
        shown = (lambda v: f"{100 * (v - 1):+.1f}%") if change.relative else made.measure.difference
        said = f"95% interval of the change {shown(change.low)} to {shown(change.high)}, {change.basis}"
        if change.verdict == "no difference shown" and self._gate.noise == "forgive":
            return replace(made, outcome="within noise", reason=f"no difference from the champion is shown: {said}")
        return replace(made, reason=said)


def _why(measure: Measure, one: TargetResults) -> str:
    """Return why there is no number."""
    lacking = complete(one)
    if lacking:
        return lacking
    every = {key: value for result in one.results for key, value in getattr(result, "metrics", {}).items()}
    if measure.name in every:
        return f"{measure.name} is {every[measure.name]}, which is no number"
    if one.kind == "htp_emulator" and measure.name in MEASURED:
        return f"an emulator does not tell {measure.name}; limit the rule to real devices with `on`"
    if measure.name not in MEASURED and _unverified(one):
        return _unverified(one)
    close = difflib.get_close_matches(measure.name, every, n=1, cutoff=0.75) if measure.name not in MEASURED else []
    return f"{measure.name} was not measured" + (f"; did you mean '{close[0]}'?" if close else "")


def _unverified(one: TargetResults) -> str:
    """Return why the validation of a target says nothing; empty where it does."""
    details = [result.details for result in one.results if isinstance(result, Validation)]
    return next((f"unverified: {one['unverified']}" for one in details if one.get("unverified")), "")


def _missing(target: Target) -> TargetResults:
    return TargetResults(target, "", (), None, ("not measured yet",))


def _tolerated(verdict: Verdict, why: str) -> Verdict:
    if verdict.outcome != "broken":
        return verdict
    return replace(verdict, outcome="tolerated", reason=f"{verdict.reason}; {why}" if verdict.reason else why)
