"""A connection to a Ray cluster; the package is asked for only where one is used."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compress.errors import EnvironmentFault

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Ray would report its use to its maker."""


@contextmanager
def connect(processes: int | None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster that RAY_ADDRESS names, or to one of this machine for the while.

    processes: CPUs of a cluster on this machine; None: all. Raises `EnvironmentFault` when no cluster answers, and
    `ModuleNotFoundError` without Ray.
    """
    os.environ.update({key: value for key, value in _QUIET.items() if key not in os.environ})
    import ray  # pyright: ignore[reportMissingImports]

    address = os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    options: dict[str, Any] = {} if address else {"num_cpus": processes, "include_dashboard": False}
    try:
        if mine:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as fault:  # Ray raises ConnectionError, RuntimeError and types of its own
        where = f"the cluster {address} (RAY_ADDRESS)" if address else "a cluster on this machine"
        said = " ".join(str(fault).split())[:200]
        raise EnvironmentFault(f"Ray cannot use {where}: {said}", cure="Start it with `ray start --head`.") from fault
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()
