"""The directory of a run of data generation."""

from tk_instruct.completions.log_directory import Log as Log
from tk_instruct.completions.log_directory import LogDirectory
from tk_instruct.completions.log_directory import Record as Record
from tk_instruct.self_instruct.records import SCHEMAS, Begun


class RunDirectory(LogDirectory):
    """A directory with the logs of all stages."""

    schemas = SCHEMAS
    settings_type = Begun
    holds = "run of self-instruct"
