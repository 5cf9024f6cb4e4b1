"""Check the whole configuration at once and say everything that is wrong with it."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from edge_pipeline.core.errors import ConfigError, suggest
from edge_pipeline.core.types import Precision, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import CustomSpec, ModelSpec
from edge_pipeline.pipelines.gate.spec import GateSpec
from edge_pipeline.pipelines.gate.spec import problems as gate_problems
from edge_pipeline.pipelines.hub_checks import unfit
from edge_pipeline.pipelines.parameters import ModelParameters
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec
from edge_pipeline.runtimes.base import PRECISIONS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class TrackingSpec(BaseModel):
    """`mlflow.yml`: where runs are logged.

    `tracking_uri` empty means the variable MLFLOW_TRACKING_URI, or else a SQLite file in the project.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    experiment: str = "edge-pipeline"
    tracking_uri: str | None = None


@dataclass(frozen=True)
class Project:
    """The typed configuration of a project."""

    root: Path
    models: Mapping[str, ModelSpec] = field(default_factory=dict)
    devices: Mapping[str, DeviceSpec] = field(default_factory=dict)
    parameters: Mapping[str, ModelParameters] = field(default_factory=dict)
    tracking: TrackingSpec = field(default_factory=TrackingSpec)
    schedule: Mapping[str, ScheduleSpec] = field(default_factory=dict)
    gates: Mapping[str, GateSpec] = field(default_factory=dict)

    def targets(self, model: str) -> list[Target]:
        """Return the targets of a model: the combinations that its devices can run."""
        return runnable(model, self.models[model], self.devices)


def runnable(model: str, spec: ModelSpec, devices: Mapping[str, DeviceSpec]) -> list[Target]:
    """Return the targets of a model that their devices can run."""
    return [target for target in spec.expand(model) if target.runtime in devices[target.device].engines]


def parse(
    root: Path,
    models: Mapping[str, Any],
    devices: Mapping[str, Any],
    parameters: Mapping[str, Any],
    tracking: Mapping[str, Any],
    schedule: Mapping[str, Any] | None = None,
    gates: Mapping[str, Any] | None = None,
) -> Project:
    """Return the typed configuration.

    Args:
        root: the project's folder; relative paths start there.
        models: content of models.yml.
        devices: content of devices.yml.
        parameters: all parameters of the project, with those of the command line merged in.
        tracking: content of mlflow.yml.
        schedule: content of schedule.yml.
        gates: content of gates.yml.

    Raises:
        ConfigError: lists every problem found.
    """
    problems: list[str] = []
    models = _named(models, "models.yml", problems)
    devices = _named(devices, "devices.yml", problems)
    typed_models = _typed_all(ModelSpec, models, "models.yml", problems)
    typed_devices = _typed_all(DeviceSpec, devices, "devices.yml", problems)
    for name, content in models.items():
        for device in _devices_named(content):
            if device not in devices:
                problems.append(
                    f"models.yml: {name}.targets.devices: no device '{device}' in devices.yml; "
                    f"{suggest(device, devices)}"
                )
    for name, spec in typed_models.items():
        problems += _unfit_targets(name, spec, typed_devices)
    mine = {name: parameters.get(name) or {} for name in models}
    typed_parameters = _typed_all(ModelParameters, mine, "parameters", problems)
    for name in set(parameters) - set(models):
        if isinstance(name, str) and difflib.get_close_matches(name, models, n=1, cutoff=0.75):
            problems.append(f"parameters: no model '{name}' in models.yml; {suggest(name, models)}")
    for name, parameters_ in typed_parameters.items():
        if name in typed_models:
            problems += _unfit_layers(name, typed_models[name], parameters_, typed_devices)
            problems += unfit(name, typed_models[name], parameters_, typed_devices)
    settings = _typed(TrackingSpec, tracking, "mlflow.yml", problems)
    schedule = _named(schedule or {}, "schedule.yml", problems)
    typed_schedule = _typed_all(ScheduleSpec, schedule, "schedule.yml", problems)
    problems += [
        f"schedule.yml: no model '{name}' in models.yml; {suggest(name, models)}"
        for name in schedule
        if name not in models
    ]
    gates = _named(gates or {}, "gates.yml", problems)
    typed_gates = _typed_all(GateSpec, gates, "gates.yml", problems)
    unknown = [name for name in gates if name not in models]
    problems += [f"gates.yml: no model '{name}' in models.yml; {suggest(name, models)}" for name in unknown]
    for name, gate in typed_gates.items():
        if name in typed_models and set(typed_models[name].targets.devices) <= set(typed_devices):
            targets = runnable(name, typed_models[name], typed_devices)
            problems += gate_problems(name, gate, typed_models[name], targets, typed_devices)
    if problems or settings is None:
        raise ConfigError(problems)
    return Project(
        root,
        {name: _located(name, spec, root) for name, spec in typed_models.items()},
        typed_devices,
        {name: _started(one, root) for name, one in typed_parameters.items()},
        settings,
        schedule={name: _watched(one, root) for name, one in typed_schedule.items()},
        gates=typed_gates,
    )


def _unfit_targets(name: str, spec: ModelSpec, devices: Mapping[str, DeviceSpec]) -> list[str]:
    """Return which devices, runtimes and precisions among the targets do not fit together."""
    if not set(spec.targets.devices) <= set(devices):
        return []  # told elsewhere
    targets = runnable(name, spec, devices)
    problems = [
        f"models.yml: {name}.on_premises: the device '{device}' is of the kind 'aihub', which would move weights and "
        "images off the premises; leave it out of targets.devices"
        for device in spec.targets.devices
        if spec.on_premises and devices[device].kind == "aihub"
    ]
    problems += [
        f"models.yml: {name}.targets.devices: '{device}' is of the kind '{devices[device].kind}', which has none of "
        f"the runtimes {', '.join(spec.targets.runtimes)}, only {', '.join(devices[device].engines)}"
        for device in spec.targets.devices
        if not any(target.device == device for target in targets)
    ]
    problems += [
        f"models.yml: {name}.targets.runtimes: none of the devices {', '.join(spec.targets.devices)} has the runtime "
        f"'{runtime}'"
        for runtime in spec.targets.runtimes
        if not any(target.runtime is runtime for target in targets)
    ]
    unfit = dict.fromkeys(
        (target.runtime, target.precision) for target in targets if target.precision not in PRECISIONS[target.runtime]
    )
    return problems + [
        f"models.yml: {name}.targets: the runtime '{runtime}' cannot run '{precision}', only "
        f"{', '.join(PRECISIONS[runtime])}; leave it out with `exclude: [{runtime}/{precision}]`"
        for runtime, precision in unfit
    ]


def _unfit_layers(
    name: str, spec: ModelSpec, parameters: ModelParameters, devices: Mapping[str, DeviceSpec]
) -> list[str]:
    """Return what is wrong with precisions of single layers that a runtime among the targets does not have."""
    quantize = parameters.quantize
    asked: dict[str, str] = {f"overrides.{layer}": one for layer, one in quantize.overrides.items()}
    if Precision.MIXED in spec.targets.precisions:
        asked |= {"mixed.low": quantize.mixed.low, "mixed.high": quantize.mixed.high}
    asked |= {"auto.high": quantize.auto.high} if quantize.auto else {}

    if not set(spec.targets.devices) <= set(devices):
        return []  # told elsewhere
    quantized = [target for target in runnable(name, spec, devices) if target.precision.quantized]

    def lacking(key: str, one: str) -> list[str]:
        """Return the runtimes that cannot run layers of a precision."""
        targets = [t for t in quantized if t.precision is Precision.MIXED or not key.startswith("mixed.")]
        if one == Precision.FLOAT:
            return sorted(
                {f"{t.runtime}' on '{t.device}" for t in targets if t.runtime.npu and not devices[t.device].floats}
            )
        return sorted({t.runtime for t in targets if Precision(one) not in PRECISIONS[t.runtime]})

    def instead(key: str, one: str) -> str:
        return "w8a8" if key == "mixed.low" else "w8a16" if one == Precision.FLOAT else "float"

    return [
        f"parameters: {name}.quantize.{key}: '{one}' cannot be run by '{runtime}', which is among the targets; set "
        f"'{instead(key, one)}', or leave that runtime out"
        for key, one in asked.items()
        if one in tuple(Precision)
        for runtime in lacking(key, one)
    ]


def _named(content: Any, file: str, problems: list[str]) -> dict[str, Any]:
    """Return the entries of a file that have a usable name."""
    if not isinstance(content, Mapping):
        problems.append(f"{file}: one entry per name is expected, `name:` with its keys below")
        return {}
    wrong = [name for name in content if not (isinstance(name, str) and _NAME.fullmatch(name))]
    problems += [f"{file}: '{name}' is not a usable name: a letter, then letters, digits and _ only" for name in wrong]
    return {name: one for name, one in content.items() if name not in wrong}


def _devices_named(content: Any) -> list[str]:
    """Return the devices of a models.yml entry that may be wrong elsewhere."""
    targets = content.get("targets") if isinstance(content, Mapping) else None
    devices = targets.get("devices") if isinstance(targets, Mapping) else None
    return [one for one in devices if isinstance(one, str)] if isinstance(devices, list) else ["host"]


def _typed_all(kind: Any, content: Mapping[str, Any], file: str, problems: list[str]) -> dict[str, Any]:
    checked = {name: _typed(kind, one, f"{file}: {name}", problems) for name, one in content.items()}
    return {name: one for name, one in checked.items() if one is not None}


def _typed(kind: Any, content: Any, where: str, problems: list[str]) -> Any:
    """Return `content` as `kind`, a pydantic class or a union of such; or `None`, and say what is wrong."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        found = error.errors()
        deeper = {item["loc"][: len(item["loc"]) - 1] for item in found}
        problems += [
            _explain(kind, one, where) for one in found if not ("too_short" in one["type"] and one["loc"] in deeper)
        ]
        return None


def _explain(kind: Any, item: Any, where: str) -> str:
    """Return one problem as `file: path: what; hint`."""
    *_, (_, path) = _walk(kind, item["loc"])
    place = ".".join([where, *path])
    if item["type"] == "extra_forbidden":
        *_, (parent, above) = _walk(kind, item["loc"][:-1])
        name = str(item["loc"][-1])
        return f"{'.'.join([where, *above])}: unknown key '{name}'; {suggest(name, _fields(parent))}"
    if item["type"] == "missing":
        return f"{'.'.join([where, *path[:-1]])}: the key '{path[-1]}' is missing"
    if item["type"] == "union_tag_not_found":
        return f"{place}: the key {item['ctx']['discriminator']} is missing"
    if item["type"] in ("enum", "literal_error", "union_tag_invalid"):
        context = item.get("ctx", {})
        listed = context.get("expected") or context.get("expected_tags") or ""
        valid = [name.strip().strip("'") for name in listed.replace(" or ", ",").split(",")]
        given = context.get("tag", item["input"])
        if item["type"] == "union_tag_invalid":
            place = f"{place}.{context['discriminator'].strip(chr(39))}"
        return f"{place}: '{given}' is not known; {suggest(str(given), valid)}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]} (given: {item['input']!r:.60})"


def _walk(kind: Any, location: tuple[Any, ...]) -> list[tuple[Any, list[str]]]:
    """Return the type and the path at each step of a pydantic location, whose union tags no user wrote."""
    current, path = kind, list[str]()
    steps: list[tuple[Any, list[str]]] = [(current, path)]
    for part in location:
        variants = [one for one in _classes(current) if part in _tags(one)]
        if len(_classes(current)) > 1 and variants:
            current = variants[0]
        else:
            current, path = _fields(current).get(part, current), [*path, str(part)]
        steps.append((current, path))
    return steps


def _fields(annotation: Any) -> dict[str, Any]:
    return {
        info.alias or name: info.annotation for cls in _classes(annotation) for name, info in cls.model_fields.items()
    }


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic classes that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        return [cls for argument in get_args(annotation) for cls in _classes(argument)]
    return []


def _tags(cls: type[BaseModel]) -> tuple[Any, ...]:
    """Return the values by which a union tells this class from its others."""
    for name in ("recipe", "type", "kind"):
        if name in cls.model_fields:
            return get_args(cls.model_fields[name].annotation)
    return ()


def _located(name: str, spec: ModelSpec, root: Path) -> ModelSpec:
    """Let relative paths of the dataset and of the network's file start at the project's folder."""
    dataset, incoming = _rooted(spec.dataset, root), incoming_folder(root, name)
    if getattr(dataset, "incoming", incoming) is None and incoming.is_dir():
        dataset = dataset.model_copy(update={"incoming": incoming})
    changes: dict[str, Any] = {"dataset": dataset}
    if isinstance(spec, CustomSpec) and spec.file:
        changes["file"] = root / spec.file
    return spec.model_copy(update=changes)


def incoming_folder(root: Path, model: str) -> Path:
    """Return where retraining keeps the new samples of a model."""
    return root / "data" / "01_raw" / model / "incoming"


def _rooted(value: BaseModel, root: Path) -> BaseModel:
    changes: dict[str, Any] = {}
    for name in type(value).model_fields:
        one = getattr(value, name)
        if isinstance(one, BaseModel):
            changes[name] = _rooted(one, root)
        elif isinstance(one, Path):
            changes[name] = root / one
        elif isinstance(one, str) and name in ("path", "images", "annotations") and "://" not in one:
            changes[name] = str(root / one)
    return value.model_copy(update=changes)


def _started(parameters: ModelParameters, root: Path) -> ModelParameters:
    start = parameters.finetune.checkpoint
    if start is None:
        return parameters
    finetune = parameters.finetune.model_copy(update={"checkpoint": root / start})
    return parameters.model_copy(update={"finetune": finetune})


def _watched(schedule: ScheduleSpec, root: Path) -> ScheduleSpec:
    """Let relative paths of schedule.yml start at the project's folder."""

    def below(path: str) -> str:
        return path if "://" in path or "::" in path else str(root / Path(path).expanduser())

    def moved(entry: Any, *keys: str) -> Any:
        given = {key: value for key in keys if (value := getattr(entry, key))} if entry else {}
        return entry.model_copy(update={key: below(value) for key, value in given.items()}) if given else entry

    changes = {"new_data": moved(schedule.new_data, "path", "images"), "drift": moved(schedule.drift, "on_device")}
    return schedule.model_copy(update=changes)
