"""The jobs of a hub in short, as its clients list them."""

from qai_hub import public_api_pb2 as pb

from edge_pipeline.hub.store import Store, body, created


def summaries(store: Store, states: set[int], kind: str) -> list[pb.JobSummary]:
    """Return summaries of the jobs in one of `states`, if it is not empty, newest first; `kind` as `compile`."""
    found = []
    for name, job in sorted(store.all("jobs"), key=lambda item: created(item[1]), reverse=True):
        one, own = body(job), str(job.WhichOneof("job")).removesuffix("_job")
        if (states and one.job_state not in states) or kind not in ("", own):
            continue
        summary = pb.JobSummary()
        brief = getattr(summary, f"{own}_job_summary")
        brief.job_id, brief.name, brief.job_state = name, one.name, one.job_state
        for time in ("creation_time", "start_time", "completion_time"):
            if one.HasField(time):
                getattr(brief, time).CopyFrom(getattr(one, time))
        if own != "quantize":
            brief.device_name = one.device.name
        if own == "inference":
            brief.is_profiling_on = one.is_profiling_on
            for measured in ("execution_time", "execution_peak_memory"):
                if one.HasField(measured):
                    brief.MergeFrom(pb.InferenceJobSummary(**{measured: getattr(one, measured)}))
        found.append(summary)
    return found
