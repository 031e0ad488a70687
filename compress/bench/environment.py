"""Where and how something was timed: the machine, and the settings of each session. No host name, no path."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import onnxruntime as ort

from compress.runtime.machine import available_cores, cpu_model, fast_features
from compress.runtime.session import Session


@dataclass(frozen=True)
class Environment:
    """The machine in words that name neither host nor user."""

    cpu: str
    cores: int
    """Cores that the process might use: its affinity, and what its control group allows."""
    platform: str
    python: str
    onnxruntime: str
    omp_num_threads: str | None = None
    """The variable OMP_NUM_THREADS; None where it is not set. ONNX Runtime's wheels do not read it, torch does."""
    cpu_features: tuple[str, ...] | None = None
    """Those of `compress.runtime.machine.FAST_FEATURES` that the processor has; None where it does not tell."""


@dataclass(frozen=True)
class Settings:
    """How one session was opened, and what ONNX Runtime made of it."""

    onnxruntime: str
    build: str
    inter_threads: int
    """Operators at a time; `ModelBench.threads` share each."""
    spinning: str
    """What ONNX Runtime's idle threads did: a key of `compress.runtime.session.SPINNING`. OpenVINO has its own."""
    tf32_set: bool | None
    """As ONNX Runtime tells it; `ModelBench.tf32` is what was asked. None where there is none."""
    provider_options: dict[str, str]


def settings_of(session: Session) -> Settings:
    """What the opened session tells."""
    told = session.details
    return Settings(
        onnxruntime=told["onnxruntime"],
        build=told["build"],
        inter_threads=told["inter_threads"],
        spinning=told["spinning"],
        tf32_set=told["tf32_set"],
        provider_options=told["provider_options"],
    )


def current_environment() -> Environment:
    """This machine, without host name or paths."""
    return Environment(
        cpu=cpu_model(),
        cores=available_cores(),
        platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=ort.__version__,
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        cpu_features=fast_features(),
    )
