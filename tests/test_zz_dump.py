import pickle, sys
sys.path.insert(0,'/work/main')
from edge_pipeline.core.types import *
def test_x(exported, weights, spec, small_split, simulation):
    from edge_pipeline.pipelines.export.nodes import export
    from edge_pipeline.pipelines.export.parameters import ExportParameters
    f16 = export(small_split, weights, weights, ExportParameters(), spec=spec, precision=Precision.FLOAT16, subject="digits")
    pickle.dump({**{k.value:v for k,v in exported.items()}, "float16": f16}, open('/tmp/x/e.pkl','wb'))
    print(f16 if not hasattr(f16,'files') else list(f16.files))
