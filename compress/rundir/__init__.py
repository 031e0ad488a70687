"""The only package that knows the file names of a run folder."""

from compress.rundir.parts import GateFiles, Planning, TargetFiles
from compress.rundir.run import (
    RunDir,
    as_checkpoint_name,
    bundle_dir,
    cache_dir,
    external_evaluation,
    phantom_dir,
    quantized_files,
)
from compress.rundir.stage import Stage

__all__ = [
    "GateFiles",
    "Planning",
    "RunDir",
    "Stage",
    "TargetFiles",
    "as_checkpoint_name",
    "bundle_dir",
    "cache_dir",
    "external_evaluation",
    "phantom_dir",
    "quantized_files",
]
