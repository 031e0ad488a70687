"""Running exported models; never imports torch.

from compress.runtime import Segmenter
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.runtime.segmenter import Segmentation, Segmenter

__all__ = ["Segmentation", "Segmenter"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: modules of this package stay cheap to import alone."""
    if name in __all__:
        from compress.runtime import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
