"""The plugin's hook: checks the configuration, shows progress, logs to MLflow, reports failed targets.

It does nothing in a project, or for a pipeline, that has no models of models.yml.
"""

import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from edge_pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from edge_pipeline.hooks.run import Run
    from edge_pipeline.pipelines.config import Project


class EdgePipelineHooks:
    """Translates Kedro's events to those of a `Run`."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._run: Run | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check the whole configuration and fill in the defaults of parameters.

        Raises:
            ConfigError: lists every problem found.
        """
        from kedro.config import MissingConfigException

        from edge_pipeline.hooks.command import report_errors_plainly
        from edge_pipeline.pipeline_registry import use_session

        report_errors_plainly()
        # it warns at each run of a part, and at each with another runner, that it draws no workflow of it
        logging.getLogger("kedro_viz.integrations.kedro.run_hooks").setLevel(logging.ERROR)
        loader = context.config_loader
        try:
            parameters = loader["parameters"]
        except MissingConfigException:
            parameters = {}
        self._project = use_session(context.project_path, loader.conf_source, context.env, parameters)
        typed = self._project.parameters
        if typed:
            filled = {name: one.model_dump(mode="json", by_alias=True) for name, one in typed.items()}
            loader["parameters"] = {**parameters, **filled}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Take the project's lock and open the tracker.

        Raises:
            ConfigError: something that the run needs is missing, or the runner cannot be used.
            ProjectBusyError: another run holds the project.
        """
        project = self._project
        names = {(node.namespace or "").split(".")[0] for node in pipeline.nodes}
        if project is None or not names & set(project.models):
            return
        from edge_pipeline.hooks.run import Run

        if "ParallelRunner" in str(run_params.get("runner")):
            raise ConfigError(
                ["ParallelRunner cannot be used: its processes lose the hooks; use --runner ThreadRunner"]
            )
        self._run = Run(project, pipeline, catalog, only_missing=bool(run_params.get("only_missing_outputs")))

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Open the MLflow run that the node belongs to."""
        if self._run:
            self._run.node_started(node)

    @hook_impl
    def after_node_run(self, node: Any, outputs: dict[str, Any]) -> None:
        """Collect results; close the MLflow run that is complete."""
        if self._run:
            self._run.node_ended(node, outputs)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Log what is left, print the result.

        Raises:
            TargetsFailedError: names every target that failed, and why.
            TrackingError: MLflow could not be used.
        """
        run, self._run = self._run, None
        if run:
            run.finish()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the open MLflow runs as FAILED."""
        run, self._run = self._run, None
        if run:
            run.abandon("FAILED")


hooks = EdgePipelineHooks()
