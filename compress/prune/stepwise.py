"""Forward passes that wait before chosen modules, so that a module can be changed before anything runs through it.

Every layer of every pass is computed once, however many modules are waited for. Each pass is a thread of its own, of
which one runs at a time; what waits in memory are the tensors that its remaining layers need.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue

import torch
from torch import nn

from compress.errors import PlanError


class _Stopped(BaseException):
    """Ends a pass whose remaining layers nobody needs; no forward code should catch it."""


class _Pass(threading.Thread):
    """One batch on its way through the network."""

    def __init__(self, network: nn.Module, batch: tuple[torch.Tensor, ...]) -> None:
        super().__init__(daemon=True)
        self.network, self.batch = network, batch
        self.go = threading.Semaphore(0)
        self.arrived: SimpleQueue[tuple[str, torch.Tensor] | BaseException] = SimpleQueue()
        self.stopped = False

    def run(self) -> None:
        try:
            self._wait()
            with torch.no_grad():
                self.network(*self.batch)
            raise PlanError("The network ended before the layer that was waited for.")
        except _Stopped:
            return
        except BaseException as fault:  # it is raised again where the pass is waited for
            self.arrived.put(fault)

    def pause(self, name: str, arriving: torch.Tensor) -> None:
        """Called by this thread before the module `name` runs."""
        self.arrived.put((name, arriving))
        self._wait()

    def advance(self) -> tuple[str, torch.Tensor]:
        """Called by the caller's thread: go on to the next pause. Raises what the pass raises."""
        self.go.release()
        found = self.arrived.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        self.stopped = True
        self.go.release()
        self.join()

    def _wait(self) -> None:
        self.go.acquire()
        if self.stopped:
            raise _Stopped


@contextmanager
def arriving_at(
    network: nn.Module, names: Sequence[str], batches: Sequence[tuple[torch.Tensor, ...]]
) -> Iterator[Iterator[list[torch.Tensor]]]:
    """For each module of `names`, in order of execution, what arrives at it: one tensor per batch.

    The modules run only when the next ones are asked for, with the weights that they have then. Each must run once.
    """
    passes = [_Pass(network, batch) for batch in batches]
    known = {each: each for each in passes}

    def waiting(name: str, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        known[threading.current_thread()].pause(name, inputs[0])  # pyright: ignore[reportArgumentType]

    hooks = [network.get_submodule(name).register_forward_pre_hook(partial(waiting, name)) for name in names]
    for each in passes:
        each.start()

    def steps() -> Iterator[list[torch.Tensor]]:
        for name in names:
            found = [each.advance() for each in passes]
            if any(where != name for where, _ in found):
                raise PlanError(f"{name} does not run when it did before: this network's order of layers changes.")
            yield [tensor for _, tensor in found]

    try:
        yield steps()
    finally:
        for each in passes:
            each.stop()
        for hook in hooks:
            hook.remove()
