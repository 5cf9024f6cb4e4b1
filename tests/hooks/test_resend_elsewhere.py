"""Records that wait may be sent to another store than the one that knows their run."""

from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.hooks.store import Store


def test_a_record_whose_run_is_unknown_gets_a_new_run(tmp_path):
    first, second = (Store(f"sqlite:///{tmp_path}/{name}.db", "edge-pipeline", tmp_path) for name in ("one", "two"))
    run_id = first.begin("digits/training", {"model": "digits"}, {"kind": "training"}, 1)
    record = RunRecord(
        name="digits/training",
        experiment="edge-pipeline",
        status="FINISHED",
        started=1,
        ended=2,
        params={"model": "digits"},
        tags={"kind": "training"},
        metrics=(("train_loss", 0.5, 1),),
        run_id=run_id,
    )
    assert first.complete(record) == run_id
    assert second.complete(record) != run_id
