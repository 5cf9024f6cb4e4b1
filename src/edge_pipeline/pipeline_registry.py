"""Kedro's entrance: the pipelines that models.yml describes."""

import contextlib
import difflib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import ConfigError, suggest
from edge_pipeline.pipelines.config import Project, parse

if TYPE_CHECKING:
    from kedro.config import OmegaConfigLoader
    from kedro.pipeline import Pipeline

_PATTERNS = {
    "models": ["models.yml"],
    "devices": ["devices.yml"],
    "mlflow": ["mlflow.yml"],
    "schedule": ["schedule.yml"],
    "gates": ["gates.yml"],
}
_session: dict[str, Any] = {}


def use_session(root: Path, conf_source: str, env: str | None, parameters: Mapping[str, Any]) -> Project:
    """Read the configuration of a session, of which Kedro tells the registry nothing.

    Args:
        root: the project's folder.
        conf_source: the conf folder, which `--conf-source` may put elsewhere.
        env: the run environment, `--env`.
        parameters: all parameters, those of the command line included.

    Raises:
        ConfigError: lists every problem found.
    """
    _session.update(root=root, conf_source=conf_source, env=env)
    return _parse(root, conf_source, env, parameters)


def load_project() -> Project:
    """Read the configuration of the session, or of the project of the current folder, without its parameters."""
    if _session:
        root, conf_source, env = _session["root"], _session["conf_source"], _session["env"]
    else:
        from kedro.framework.project import settings
        from kedro.utils import find_kedro_project

        root = Path(find_kedro_project(Path.cwd()) or Path.cwd())
        conf_source, env = str(root / settings.CONF_SOURCE), os.environ.get("KEDRO_ENV")
    return _parse(root, conf_source, env, {})


def register_pipelines() -> "dict[str, Pipeline]":
    """Return one pipeline per model of models.yml, and `__default__`."""
    from edge_pipeline.pipelines.assemble import pipelines

    return pipelines(load_project())


def with_edge_pipelines(
    register: "Callable[[], dict[str, Pipeline]]",
) -> "Callable[[], dict[str, Pipeline]]":
    """Add the pipelines of models.yml to those of another project's `register_pipelines`.

    The default pipeline of that project is followed by those of the default models.

    Raises:
        ConfigError: both have a pipeline of the same name.
    """

    @functools.wraps(register)
    def both() -> "dict[str, Pipeline]":
        ours = register_pipelines()
        default = ours.pop("__default__")
        with _models_hidden(ours):
            theirs = register()
        same = sorted(set(theirs) & set(ours))
        if same:
            raise ConfigError(f"models.yml: the project already has a pipeline named '{name}'" for name in same)
        if "__default__" in theirs:
            default = theirs["__default__"] + default
        return {**theirs, **ours, "__default__": default}

    return both


@contextlib.contextmanager
def _models_hidden(models: "Mapping[str, Pipeline]") -> Iterator[None]:
    """Take models off the pipelines that `--pipelines` asks for.

    Kedro's `find_pipelines` imports a module for each of those and fails where there is none.
    """
    from kedro.framework.project import pipelines

    requested = pipelines._requested_pipelines
    if not requested:
        yield
        return
    rest = [name for name in requested if name not in models]
    pipelines._requested_pipelines = rest
    try:
        yield
    except (ImportError, KeyError) as error:
        problems = [
            f"no model or pipeline is named '{name}'; {suggest(name, models)}"
            for name in rest
            if difflib.get_close_matches(name, models)
        ]
        if not problems:
            raise
        raise ConfigError(problems) from error
    finally:
        pipelines._requested_pipelines = requested


def _loader(conf_source: str, env: str | None) -> "OmegaConfigLoader":
    from kedro.config import OmegaConfigLoader

    return OmegaConfigLoader(conf_source, env=env, base_env="base", default_run_env="local", config_patterns=_PATTERNS)


def _parse(root: Path, conf_source: str, env: str | None, parameters: Mapping[str, Any]) -> Project:
    _check_environment(Path(conf_source), env or "local")
    loader, found = _loader(conf_source, env), {}
    for key in _PATTERNS:
        try:
            found[key] = loader[key] or {}
        except KeyError:
            found[key] = {}
        except Exception as error:
            from kedro.config import MissingConfigException

            if not isinstance(error, MissingConfigException):
                raise ConfigError([f"{_PATTERNS[key][0]}: {error}"]) from error
            found[key] = {}
    more = {key: found[key] for key in ("schedule", "gates")}
    return parse(root, found["models"], found["devices"], parameters, found["mlflow"], **more)


def _check_environment(conf: Path, env: str) -> None:
    """Refuse an environment without a folder, which Kedro would take for a project without configuration."""
    if (conf / "base" / "models.yml").is_file() and not (conf / env).is_dir():
        known = [folder.name for folder in conf.iterdir() if folder.is_dir()]
        raise ConfigError([f"the environment '{env}' has no folder {conf / env}; create it; {suggest(env, known)}"])
