"""The tag that ties MLflow runs together."""

import os
import re
from datetime import datetime

from edge_pipeline.core.errors import ConfigError

VARIABLE = "EDGE_PIPELINE_RUN_GROUP"
"""Environment variable by which several commands share one group."""

_NAME = re.compile(r"[\w.:+/@-]{1,250}")


def run_group() -> str:
    """Return the tag `run_group` of this command: what the variable says, or else the time.

    Raises:
        ConfigError: what the variable says cannot be searched for.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return datetime.now().strftime("%Y%m%d-%H%M%S")
    if not _NAME.fullmatch(given):
        raise ConfigError([f"{VARIABLE}: letters, digits and . : + / @ _ - only, 250 at most, not {given[:300]!r}"])
    return given
