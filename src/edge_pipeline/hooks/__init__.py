from kedro.framework.hooks import hook_impl
class H:
    @hook_impl
    def after_context_created(self, context):
        from edge_pipeline.pipeline_registry import use_session
        raw = context.config_loader["parameters"]
        p = use_session(context.config_loader.conf_source, context.env, raw)
        context.config_loader["parameters"] = {**raw, **{n: q.model_dump(mode="json", by_alias=True) for n,q in p.parameters.items()}}
hooks = H()
