"""Which range of values every activation is quantized over: histograms of all slices, one slice in memory at a time.

ONNX Runtime's own calibration keeps every activation of every slice (5.4 GiB for 64 slices of a U-Net of width 32), and
its entropy method compares 128 bins with themselves, so that it finds the same ranges as minmax.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from compress.choices import CALIBRATION_METHODS
from compress.registry import pick
from compress.runtime.machine import available_cores

_BINS = 2048
"""On each side of zero."""
_SHARE = 0.99999
"""Of the values that the percentile method keeps."""
_STEP = 32
"""Bins between two ranges that the entropy method compares."""
_CODES = 256
"""Of eight bits."""

Range = tuple[float, float]
"""The smallest and the largest value that is told apart."""


@dataclass
class Histogram:
    """How often one activation takes which values."""

    low: float
    high: float
    counts: np.ndarray
    """(2 * _BINS,) of equal width, from -bound to bound."""

    @property
    def bound(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))

    def widen(self, values: np.ndarray) -> None:
        """Make room for values; before any are counted."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def add(self, values: np.ndarray) -> None:
        """Count values, none of which lies beyond the bound."""
        if self.bound > 0:
            places = ((values.ravel() + self.bound) * (_BINS / self.bound)).astype(np.int64)
            self.counts += np.bincount(places.clip(0, 2 * _BINS - 1), minlength=2 * _BINS)

    def within(self, bound: float) -> Range:
        """From -bound to bound, as far as there are values."""
        return max(self.low, -bound), min(self.high, bound)


def measure_ranges(model: onnx.ModelProto, images: np.ndarray, *, method: str) -> dict[str, Range]:
    """The range of every activation of `model` on images (N, C, H, W) float32, by a row of `CALIBRATION_METHODS`.

    Every slice runs twice: for the extremes, then to be counted. What a Relu alone reads is quantized after it, and has
    the range of what it gives. Raises `ConfigError` for an unknown method.
    """
    row = pick("calibration method", CALIBRATION_METHODS, method)
    session, names = _watched(model)
    found = {name: Histogram(np.inf, -np.inf, np.zeros(2 * _BINS, np.int64)) for name in names}
    for values in _passes(session, names, images):
        for name, array in values.items():
            found[name].widen(array)
    if row.counts:
        for values in _passes(session, names, images):
            for name, array in values.items():
                found[name].add(array)
    range_of = row.load()
    ranges = {name: range_of(histogram) for name, histogram in found.items()}
    relus = [node for node in model.graph.node if node.op_type == "Relu"]
    return {node.input[0]: ranges[node.output[0]] for node in relus if node.output[0] in ranges} | ranges


def _watched(model: onnx.ModelProto) -> tuple[ort.InferenceSession, list[str]]:
    """A session that gives every activation but what Relus alone read, and their names, the image first."""
    stored = {tensor.name for tensor in model.graph.initializer}
    images = [entry.name for entry in model.graph.input if entry.name not in stored]
    ends = {entry.name for entry in model.graph.output}
    readers: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    made = [
        name
        for node in model.graph.node
        if node.op_type != "Constant"
        for name in node.output
        if name in ends or readers.get(name) != {"Relu"}
    ]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in made)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = available_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, [*images, *made]


def _passes(session: ort.InferenceSession, names: list[str], images: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
    """Every activation of one slice after the other."""
    for image in images:
        batch = np.ascontiguousarray(image[None], np.float32)
        outputs = [np.asarray(output) for output in session.run(None, {names[0]: batch})]
        yield dict(zip(names, [batch, *outputs], strict=True))


def minmax(histogram: Histogram) -> Range:
    """All values."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram) -> Range:
    """Without the outermost values on both sides, half of 1 - _SHARE each."""
    if not histogram.counts.any():
        return minmax(histogram)
    seen = np.cumsum(histogram.counts) / histogram.counts.sum()
    edges = np.linspace(-histogram.bound, histogram.bound, 2 * _BINS + 1)
    beyond = (1 - _SHARE) / 2
    first, last = np.searchsorted(seen, (beyond, 1 - beyond))
    return max(histogram.low, float(edges[first])), min(histogram.high, float(edges[last + 1]))


def entropy(histogram: Histogram) -> Range:
    """The range whose eight-bit values tell most about the real ones: least divergence of the two distributions.

    Szymon Migacz, 8-bit Inference with TensorRT, GTC 2017. Half of the codes lie on each side of zero, all of them on
    one where the other is empty (after a Relu).
    """
    sizes = histogram.counts[_BINS:] + histogram.counts[_BINS - 1 :: -1]
    sizes[0] = sizes[1]  # exact zeros, of which a Relu gives very many, are exact in every range
    codes = _CODES // 2 if histogram.low < 0 < histogram.high else _CODES
    if not sizes.any():
        return minmax(histogram)
    kept = min(range(codes, _BINS + 1, _STEP), key=lambda kept: _loss(sizes, kept, codes))
    return histogram.within(histogram.bound * kept / _BINS)


def _loss(sizes: np.ndarray, kept: int, codes: int) -> float:
    """What is lost when the first `kept` bins share `codes` values and all beyond become the last."""
    real = sizes[:kept].astype(np.float64)
    code = np.arange(kept) * codes // kept
    filled = real > 0
    shared = np.bincount(code, real, codes) / np.maximum(1, np.bincount(code, filled, codes))
    real[-1] += sizes[kept:].sum()
    ours, theirs = real + _TINY, np.where(filled, shared[code], 0) + _TINY
    ours, theirs = ours / ours.sum(), theirs / theirs.sum()
    return float((ours * np.log(ours / theirs)).sum())


_TINY = 1e-4
"""So that a value that no code stands for costs much, not everything."""
