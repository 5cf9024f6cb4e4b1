"""An entry of gates.yml, typed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_pipeline.core.errors import suggest
from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.gate.rules import Rule, parse


class RuleSpec(BaseModel):
    """A rule, in full: the short way is its text alone.

    `rule` holds for a target as a whole, `per_class` for every class of it, or for those that `classes` names. `on`
    limits it to devices: their names, their labels, or their kinds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rule: str | None = Field(None, min_length=1)
    per_class: str | None = Field(None, min_length=1)
    classes: tuple[str, ...] = ()
    on: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, value: Any) -> Any:
        """YAML reads the key `on` as true."""
        return {"on" if key is True else key: one for key, one in value.items()} if isinstance(value, dict) else value

    @field_validator("on", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_text(self) -> "RuleSpec":
        if (self.rule is None) == (self.per_class is None):
            raise ValueError("either `rule` or `per_class` is expected")
        if self.classes and self.per_class is None:
            raise ValueError("`classes` limits a rule `per_class` only")
        return self

    def parsed(self, task: str, own: Iterable[str] | None = None) -> Rule:
        """Return the rule; see `rules.parse`."""
        return parse(self.rule or self.per_class or "", task, own, classes=self.per_class is not None)


class GateSpec(BaseModel):
    """What the targets of a model must meet before it may be released.

    `runtimes` and `precisions` choose the targets that are judged; all, if empty. On every one of the devices
    `required` all of these must meet all rules, and on `at_least` of the rest; with neither, on every device.
    `required` names devices, labels or kinds.

    `first_release` says what a rule relative to the champion does where there is none. `noise` says what it does where
    the value is beyond its limit but no difference from the champion is shown: `forgive` lets it pass, `count` does
    not.

    `select` is what `kedro edge compare` recommends a target by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rules: tuple[RuleSpec, ...] = ()
    required: tuple[str, ...] = ()
    at_least: int | None = Field(None, ge=0)
    runtimes: tuple[RuntimeName, ...] = ()
    precisions: tuple[Precision, ...] = ()
    first_release: Literal["allow", "refuse"] = "allow"
    noise: Literal["forgive", "count"] = "forgive"
    select: str | None = Field(None, min_length=1)

    @field_validator("rules", mode="before")
    @classmethod
    def _in_full(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"rule": one} if isinstance(one, str) else one for one in value]
        return value

    def judged(self, targets: Iterable[Target]) -> list[Target]:
        """Return those of `targets` that are judged."""
        return [
            one
            for one in targets
            if (not self.runtimes or one.runtime in self.runtimes)
            and (not self.precisions or one.precision in self.precisions)
        ]

    def must(self, targets: Sequence[Target], devices: Mapping[str, DeviceSpec]) -> list[str]:
        """Return the devices of `targets` on which all rules must be met."""
        names = list(dict.fromkeys(one.device for one in targets))
        if not self.required and self.at_least is None:
            return names
        return [name for name in names if chosen(self.required, name, devices[name])]


def chosen(words: Iterable[str], name: str, device: DeviceSpec) -> bool:
    """Return whether one of `words` is the name of a device, its kind, or one of its labels."""
    return not {name, device.kind, *device.labels}.isdisjoint(words)


def problems(
    name: str, gate: GateSpec, spec: ModelSpec, targets: Sequence[Target], devices: Mapping[str, DeviceSpec]
) -> list[str]:
    """Return what is wrong with the gate of a model, each as `gates.yml: ...`.

    Args:
        name: the model.
        gate: its gate.
        spec: the model's entry.
        targets: all targets of the model.
        devices: of devices.yml.
    """
    from edge_pipeline.pipelines.compare.selection import Selection

    found = []
    own = None if spec.metric else ()
    judged = gate.judged(targets)
    here = dict.fromkeys(one.device for one in judged)
    if not judged:
        found.append(f"{name}: runtimes and precisions leave no target of the model to judge")
    for index, rule in enumerate(gate.rules):
        try:
            rule.parsed(spec.task, own)
        except ValueError as error:
            found.append(f"{name}.rules.{index}: {error}")
        found += _devices_missed(f"{name}.rules.{index}.on", rule.on, here, devices)
    found += _devices_missed(f"{name}.required", gate.required, here, devices)
    rest = len(here) - len(gate.must(judged, devices))
    if gate.at_least == 0 and not gate.required:
        found.append(f"{name}.at_least: 0, and no device is required: nothing would ever be refused")
    if gate.at_least and gate.at_least > rest:
        found.append(f"{name}.at_least: {gate.at_least} of the devices that are not required, but there are {rest}")
    if gate.select is not None:
        try:
            selection = Selection.parse(gate.select, spec.task, own)
        except ValueError as error:
            found.append(f"{name}.select: {error}")
        else:
            found += _devices_missed(f"{name}.select", selection.on, here, devices)
    return [f"gates.yml: {one}" for one in found]


def _devices_missed(
    where: str, words: Iterable[str], here: Iterable[str], devices: Mapping[str, DeviceSpec]
) -> list[str]:
    """Return the words that name no device of the model's targets."""
    known = {word for name in here for word in (name, devices[name].kind, *devices[name].labels)}
    return [
        f"{where}: no target of the model is on a device, label or kind '{word}'; {suggest(word, known)}"
        for word in words
        if word not in known
    ]
