"""The only package that knows the file names of a run folder."""

from compress.rundir.parts import (
    BenchFiles,
    GateFiles,
    GateScores,
    InspectFiles,
    Planning,
    ScoreFiles,
    SweepFiles,
    TargetFiles,
)
from compress.rundir.run import (
    RunDir,
    as_checkpoint_name,
    bundle_dir,
    cache_dir,
    external_evaluation,
    phantom_dir,
)
from compress.rundir.stage import Stage, parity_beside, quantize_record, quantized_files

__all__ = [
    "BenchFiles",
    "GateFiles",
    "GateScores",
    "InspectFiles",
    "Planning",
    "RunDir",
    "ScoreFiles",
    "Stage",
    "SweepFiles",
    "TargetFiles",
    "as_checkpoint_name",
    "bundle_dir",
    "cache_dir",
    "external_evaluation",
    "parity_beside",
    "phantom_dir",
    "quantize_record",
    "quantized_files",
]
