"""How many parts a network may have while it is built: a description of some bytes can ask for millions of layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from compress.errors import ConfigError

FREE = 2000
"""Parts that any network may have."""
PER_TENSOR = 10
"""Parts for each stored tensor: a convolution is one with two tensors, wrapped in two or three others."""


@contextmanager
def no_more_parts_than_fit(tensors: int) -> Iterator[None]:
    """Inside, building a network of far more parts than belong to so many stored tensors raises `ConfigError`."""
    left = FREE + PER_TENSOR * tensors

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConfigError(f"The description asks for far more layers than the {tensors} stored tensors belong to.")

    handles = [register_module_module_registration_hook(count), register_module_parameter_registration_hook(count)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
