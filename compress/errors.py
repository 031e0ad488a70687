"""Every error that this package raises on purpose.

CardioCompressError
|-- InputError            the user's files or words are wrong      (CLI exit code 2)
|   |-- ConfigError       the configuration or --set
|   |-- DataError         images, masks, folders
|   |-- CheckpointError   weights that cannot be read or do not fit
|   |-- PlanError         ratios, masks, pruning plans
|   `-- ModelFileError    ONNX files
|-- EnvironmentFault      the machine lacks something              (CLI exit code 3)
|   `-- ProviderError     an execution provider is not truly there
`-- GateError             an acceptance gate refused               (CLI exit code 4)
"""

from __future__ import annotations

__all__ = [
    "CardioCompressError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EnvironmentFault",
    "GateError",
    "InputError",
    "ModelFileError",
    "PlanError",
    "ProviderError",
]


class CardioCompressError(Exception):
    """Base of the tree. `cure` says in a few words what the user can do about it."""

    exit_code = 1

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


class InputError(CardioCompressError):
    """The user's files or words are wrong."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration, a --set value or a combination of options is wrong."""


class DataError(InputError):
    """An image, a mask or a data folder cannot be used."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged or does not fit the network."""


class PlanError(InputError):
    """Pruning ratios, masks or a pruning plan cannot be applied."""


class ModelFileError(InputError):
    """An ONNX file is missing, damaged or not one of ours."""


class EnvironmentFault(CardioCompressError):
    """The machine lacks something that was asked for: a device, a package, disk space."""

    exit_code = 3


class ProviderError(EnvironmentFault):
    """An ONNX Runtime execution provider was asked for and is not truly there."""


class GateError(CardioCompressError):
    """An acceptance gate refused a candidate."""

    exit_code = 4
