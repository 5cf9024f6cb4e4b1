import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node

from edge_pipeline import pipeline_registry
from edge_pipeline.core.errors import ConfigError
from edge_pipeline.hooks import EdgePipelineHooks
from edge_pipeline.pipelines.assemble import pipelines


@pytest.fixture
def context(tmp_path: Path, default_configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Kedro hands to the hook, for the ready project with one parameter of its own."""
    monkeypatch.setattr(pipeline_registry, "_session", {})
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    files = {name: default_configuration[name] for name in ("models", "devices")}
    files["parameters"] = {"digits": {"finetune": {"epochs": 3}}, "mine": {"a": 1}}
    for name, content in files.items():
        (tmp_path / "conf" / "base").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "base" / f"{name}.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "conf" / "local").mkdir()
    loader = OmegaConfigLoader(str(tmp_path / "conf"), base_env="base", default_run_env="local")
    return SimpleNamespace(config_loader=loader, project_path=tmp_path, env=None)


def test_parameters_that_were_not_said_get_their_defaults_and_others_are_kept(context: Any) -> None:
    EdgePipelineHooks().after_context_created(context)
    found = context.config_loader["parameters"]
    assert found["mine"] == {"a": 1}
    assert found["digits"]["finetune"]["epochs"] == 3
    assert found["digits"]["finetune"]["batch_size"] == 64
    assert found["digits"]["validate"]["threads"] == 1


def test_a_wrong_configuration_is_refused_before_anything_runs(context: Any, tmp_path: Path) -> None:
    (tmp_path / "conf" / "local" / "models.yml").write_text("digits: {recipe: clasifier}")
    with pytest.raises(ConfigError, match="did you mean 'classifier'"):
        EdgePipelineHooks().after_context_created(context)


def test_a_runner_that_would_lose_the_hooks_is_refused(context: Any, tmp_path: Path) -> None:
    hooks = EdgePipelineHooks()
    hooks.after_context_created(context)
    pipeline = pipelines(pipeline_registry.load_project())["digits"]
    with pytest.raises(ConfigError, match="ParallelRunner cannot be used"):
        hooks.before_pipeline_run({"runner": "ParallelRunner"}, pipeline, DataCatalog())
    assert not (tmp_path / "data").exists()


def test_a_pipeline_without_models_is_left_alone(context: Any, tmp_path: Path) -> None:
    hooks = EdgePipelineHooks()
    hooks.after_context_created(context)
    pipeline = Pipeline([node(lambda: 1, None, "x", name="mine")])
    hooks.before_pipeline_run({"runner": "ParallelRunner"}, pipeline, DataCatalog())
    hooks.before_node_run(pipeline.nodes[0])
    hooks.after_node_run(pipeline.nodes[0], {"x": 1})
    hooks.after_pipeline_run()
    assert not (tmp_path / "data").exists()
