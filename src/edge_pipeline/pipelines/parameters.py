"""All parameters of one model: `conf/base/parameters/<model>.yml`, under the model's name."""

from pydantic import Field

from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.pipelines.base import Parameters
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.export.parameters import ExportParameters
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters, SplitParameters
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from edge_pipeline.pipelines.validate.parameters import ValidateParameters


class ModelParameters(Parameters):
    """All stages of one model."""

    split: SplitParameters = SplitParameters()
    finetune: FinetuneParameters = FinetuneParameters()
    quantize: QuantizeParameters = QuantizeParameters()
    export: ExportParameters = ExportParameters()
    compile: CompileParameters = CompileParameters()
    profile: ProfileSettings = ProfileSettings()
    validate_: ValidateParameters = Field(ValidateParameters(), alias="validate")
