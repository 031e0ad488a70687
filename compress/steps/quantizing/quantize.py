"""`quantize`: an exported file with fewer bits, kept only when it is proven to be an improvement."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from compress.bench.latency import LatencySamples, time_files
from compress.choices import calibration_methods
from compress.config import Bench, Quantization
from compress.data.cache import prepare_all
from compress.data.nnunet.tiles import mirrored
from compress.data.prepared import with_channels
from compress.errors import ConfigError, GateError, ModelFileError
from compress.evaluate.summary import EvaluationReport
from compress.export.quantize import ACTIVATIONS, convolutions, quantize_fp16, weights_in_words
from compress.export.seal import seal
from compress.files import atomic_path, check_writable, write_json
from compress.rundir import cache_dir, quantized_files
from compress.runtime.card import ModelCard, read_card
from compress.runtime.machine import saturates_int8
from compress.runtime.modelfile import ModelFile, read_model_file
from compress.runtime.predict import Run
from compress.runtime.proof import prove
from compress.runtime.providers import find_provider
from compress.runtime.segmenter import Segmenter, refuse_saturation
from compress.runtime.session import open_session
from compress.steps.exporting.export import check_training_data
from compress.steps.quantizing.result import Quantized
from compress.steps.quantizing.search import Found, Search, run_each
from compress.steps.scoring.cohort import score_cohort
from compress.steps.workspace import Workspace

KINDS = {"int8": "cpu", "fp16": "cuda"}
"""What a file can be quantized to, and the provider that is expected to gain by it."""
_NOISE = 1e-6
"""Noise added to the z-scored image to imitate float sums in another order."""
_MARGIN = 4.0
"""The self-test accepts this many times the largest logit difference seen."""
_FLOOR = 1e-3
_LAYER_ROUNDS = 20
"""Runs that the times of single layers are the fastest of."""


@dataclass(frozen=True)
class _Job:
    """One file to quantize, and the configuration's words about it."""

    model: Path
    """Where its checked bytes lie, once they are in a folder of our own: another file may have its name by then."""
    chosen: Quantization
    provider: str
    bench: Bench

    @property
    def transposed(self) -> bool:
        """Whether transposed convolutions are quantized as they are."""
        return find_provider(self.provider).int8_transposed

    @property
    def bits(self) -> int:
        """Of INT8 weights."""
        wanted = self.chosen.weights
        return (7 if saturates_int8() else 8) if wanted == "auto" else wanted


def quantize(ws: Workspace, model: Path, *, out: Path | None = None) -> Quantized:
    """Write the quantized file (`out`; None: beside the model) and its record; nothing is left when it is no gain.

    Follows the configuration's `quantization` section, and times as `bench` says. Ranges come from training slices,
    Dice from `ws.evaluation`. Raises `ProviderError` before anything is computed, `ModelFileError` for a file that is
    not ours, was altered or is quantized already, `CheckpointError` when the workspace's data is not what the network
    was trained on, and `GateError` when the Dice budget does not hold or, unless `keep`, the file is not faster.
    """
    chosen = ws.config.quantization
    job = _Job(model, chosen, chosen.provider or KINDS[chosen.kind], ws.config.bench)
    prove(job.provider)
    if job.chosen.kind == "int8" and job.bits == 8:
        refuse_saturation("The file that is asked for")
    file = read_model_file(model)
    source = _source(ws, job, file)
    with tempfile.TemporaryDirectory() as scrap:
        exact = Path(scrap, "float.onnx")
        exact.write_bytes(file.content)
        _refuse_plan(job, exact)
        target, record = quantized_files(model, chosen.kind, out=out)
        _refuse_foreign(target, source.session.file)
        made = _make(ws, replace(job, model=exact), source, Path(scrap))
        if chosen.keep or made.faster:
            ws.record_config("bench", "evaluation", "quantization")
            with atomic_path(target) as temporary:
                temporary.write_bytes(made.path.read_bytes())
            kept = replace(made, path=target)
            write_json(record, kept.record().to_json())
            return kept
    raise GateError(made.refusal, cure="Keep the float file; --keep writes this one all the same.")


def _make(ws: Workspace, job: _Job, source: Segmenter, scrap: Path) -> Quantized:
    card, original = source.card, source.session.file
    before = _scored(ws, card, source.run, "the float file")
    images = calibration_images(ws, card, job.chosen.slices)
    found = None
    if job.chosen.kind == "int8":
        found = _search(ws, job, card, images, scrap).run(
            calibration_methods(job.chosen.method), least_dice=before.mean_dice - job.chosen.budget
        )
    path = found.path if found else quantize_fp16(job.model, scrap / "fp16.onnx")
    about = _about(job, original, found, ws.training.digest, len(images))
    bound = _rounding_bound(path, images[:8]) if found else _difference_bound(job.model, path, images[:8])
    seal(path, replace(card, quantization={**about, "logit_bound": bound, "bound_provider": "cpu"}))
    after = _scored(ws, card, _opened(job, path), f"the {job.chosen.kind} file")
    _check_budget(job, before, after)
    return Quantized(
        path=path,
        kind=job.chosen.kind,
        method=found.chosen.method if found else None,
        float_layers=found.chosen.float_layers if found else (),
        layers=len(convolutions(job.model, transposed=job.transposed)),
        before=before,
        after=after,
        latency=_timed(job, card, {"float": job.model, job.chosen.kind: path}),
        source=original,
        search=found,
        phantom=ws.evaluation.phantom,
    )


def _search(ws: Workspace, job: _Job, card: ModelCard, images: np.ndarray, scrap: Path) -> Search:
    def score(path: Path, name: str) -> float:
        return _scored(ws, card, _opened(job, path), name).mean_dice

    return Search(
        job.model,
        images,
        scrap,
        score=score,
        progress=ws.progress,
        threads=job.bench.threads,
        bits=job.bits,
        provider=job.provider,
        rounds=min(_LAYER_ROUNDS, job.bench.rounds),
        planned=job.chosen.float_layers,
        transposed=job.transposed,
    )


def _check_budget(job: _Job, before: EvaluationReport, after: EvaluationReport) -> None:
    loss = before.mean_dice - after.mean_dice
    if loss > job.chosen.budget:
        raise GateError(
            f"{job.chosen.kind.upper()} loses {loss:.4f} Dice; at most {job.chosen.budget:g} is allowed.",
            cure="Allow a larger --budget, or keep the float file.",
        )


def calibration_images(ws: Workspace, card: ModelCard, slices: int) -> np.ndarray:
    """(N, 1, H, W) float32: slices spread evenly over the training patients, prepared by the file's own rules."""
    cases = ws.cases_of(ws.split.train)
    prepared = prepare_all(cases, card.preprocessing, cache=cache_dir(ws.config), progress=ws.progress)
    every = np.concatenate([volume.images for volume in prepared])
    chosen = np.linspace(0, len(every) - 1, min(slices, len(every))).round().astype(int)
    return np.ascontiguousarray(with_channels(every[chosen]))


def _source(ws: Workspace, job: _Job, file: ModelFile) -> Segmenter:
    """The float file, opened and checked; files that were altered after their export are refused."""
    source = Segmenter(file, provider=job.provider, threads=job.bench.threads)
    if source.card.quantization is not None:
        kind = source.card.quantization["kind"]
        raise ModelFileError(
            f"{job.model} is quantized already ({kind}).", cure="Give the float file that it came from."
        )
    check_training_data(ws, str(source.card.training.get("data") or ""))
    return source


def _refuse_plan(job: _Job, exact: Path) -> None:
    """Layers that a plan left in float32 must be those of the file at `exact`, and its times this provider's."""
    planned, without = job.chosen.float_layers, "Leave --ratios (quantization.float_layers) out."
    if planned is None:
        return
    if job.chosen.kind != "int8":
        raise ConfigError("FP16 has no layers in float32; the plan is one for INT8.", cure=without)
    if not find_provider(job.provider).times_layers:
        raise ConfigError(
            f"The plan was made from times of layers, which '{job.provider}' does not tell.", cure=without
        )
    known = convolutions(exact)
    if unknown := sorted(set(planned) - set(known)):
        raise ConfigError(
            f"{job.model} has no layer {', '.join(unknown)}: it is not the network that was planned.",
            cure="Give the file of the network that was pruned by these ratios.",
        )
    if len(set(planned)) == len(known):
        raise ConfigError("The plan leaves every layer in float32; nothing would be in INT8.", cure=without)


def _refuse_foreign(target: Path, source: ModelFile) -> None:
    """Nothing that `quantize` did not write is replaced."""
    if target == source.path:
        raise ConfigError(f"--out names the model itself, {target}.", cure="Choose another name.")
    if not os.path.lexists(target):
        return check_writable(target)
    try:
        card = read_card(read_model_file(target).metadata, target)
    except ModelFileError:
        card = None
    if card is None or card.quantization is None:
        raise ConfigError(f"{target} exists and was not written by `quantize`.", cure="Move it, or choose --out.")


def _scored(ws: Workspace, card: ModelCard, run: Run, name: str) -> EvaluationReport:
    run = mirrored(run, card.mirrored)
    return score_cohort(ws, run, ws.evaluation, card.preprocessing, name=f"Dice of {name}", tidy=card.tidy)


def _opened(job: _Job, path: Path) -> Run:
    return open_session(path, provider=job.provider, threads=job.bench.threads, spinning="off").run


def _timed(job: _Job, card: ModelCard, models: Mapping[str, Path]) -> LatencySamples:
    bench, shape = job.bench, (1, card.channels, *card.preprocessing.size)
    return time_files(
        models,
        shape=shape,
        provider=job.provider,
        threads=bench.threads,
        rounds=bench.rounds,
        warmup=bench.warmup,
    )


def _about(job: _Job, source: ModelFile, found: Found | None, data: str, slices: int) -> dict[str, Any]:
    """What the card tells; only what follows from the inputs, so that equal inputs give equal files."""
    about: dict[str, Any] = {
        "kind": job.chosen.kind,
        "provider": job.provider,
        "source": source.graph_sha256,
        "onnxruntime": ort.__version__,
    }
    if found is None:
        return about
    about |= {
        "weights": weights_in_words(job.bits),
        "weight_bits": job.bits,
        "activations": ACTIVATIONS,
        "method": found.chosen.method,
    }
    about |= {"float_layers": list(found.chosen.float_layers)}
    return {**about, "calibration": {"data": data, "slices": slices}}


def _rounding_bound(path: Path, images: np.ndarray) -> float:
    """Largest logit difference that another order of float sums can cause: a flipped step of a whole number.

    On the CPU, as the self-test that it is for. Seen by moving the images by a millionth of their standard deviation.
    """
    run = open_session(path, threads=1, spinning="off").run
    noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32) * np.float32(_NOISE)
    return _bound(float(np.abs(run_each(run, images + noise) - run_each(run, images)).max()))


def _difference_bound(source: Path, path: Path, images: np.ndarray) -> float:
    """The bound of FP16 files: providers round sums differently, from each other as much as from float."""
    ours, theirs = (run_each(open_session(p, threads=1, spinning="off").run, images) for p in (source, path))
    return _bound(float(np.abs(ours - theirs).max()))


def _bound(seen: float) -> float:
    """One digit is enough, and the same on every machine that sees about the same."""
    return max(_FLOOR, float(f"{_MARGIN * seen:.0e}"))
