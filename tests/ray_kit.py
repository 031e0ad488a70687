"""A stand-in for the package `ray`: tasks run in this process, one after the other, and some of them are killed."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Killed(BaseException):
    """What a task sees when its process is killed: no `except Exception` hears of it."""


class RayError(Exception):
    """As ray.exceptions.RayError."""


@dataclass
class FakeRay:
    """What was asked of it."""

    cpus: float = 2.0
    gpus: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    starts: Counter = field(default_factory=Counter)
    """How often each task was begun, in the order of their submission."""
    most_waiting: int = 0

    def install(self, patch: pytest.MonkeyPatch) -> FakeRay:
        module: Any = ModuleType("ray")
        module.__spec__ = SimpleNamespace(name="ray")
        for name in ("is_initialized", "init", "shutdown", "cluster_resources", "remote", "wait", "get"):
            setattr(module, name, getattr(self, name))
        module.exceptions = SimpleNamespace(RayError=RayError)
        patch.setitem(sys.modules, "ray", module)
        patch.delenv("RAY_ADDRESS", raising=False)
        return self

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.started = options

    def shutdown(self) -> None:
        self.started = None

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    def remote(self, **options: Any) -> Callable[[Callable], Any]:
        self.options, self.waiting, self.submitted = options, 0, 0

        def task(function: Callable) -> Any:
            return SimpleNamespace(remote=lambda *arguments: self._submit(function, arguments))

        return task

    def _submit(self, function: Callable, arguments: tuple) -> tuple[int, bytes]:
        self.waiting += 1
        self.submitted += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        return self.submitted - 1, pickle.dumps((function, arguments))

    def wait(self, tasks: list, num_returns: int) -> tuple[list, list]:
        """The one that was submitted last is the first to be done."""
        return tasks[-1:], tasks[:-1]

    def get(self, task: tuple[int, bytes]) -> Any:
        number, packed = task
        self.waiting -= 1
        for _ in range(self.options["max_retries"] + 1):
            self.starts[number] += 1
            function, arguments = pickle.loads(packed)
            try:
                return pickle.loads(pickle.dumps(function(*arguments)))
            except Killed:
                continue
        raise RayError("the worker died")
