"""Which calibration and which layers: INT8 where it is faster and as far as the Dice budget allows, by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.bench.latency import time_files
from compress.bench.peak import PeakMemory
from compress.bench.precision import measure_precisions
from compress.errors import GateError
from compress.evaluate.quantized import Trial
from compress.export.quantize import (
    QUANTIZED_OPERATORS,
    WITH_TRANSPOSED,
    Calibration,
    calibrate,
    convolutions,
    prepare_int8,
    quantize_int8,
)
from compress.files import digest_json
from compress.progress import Progress
from compress.runtime.predict import Run
from compress.runtime.providers import find_provider
from compress.runtime.session import open_session
from compress.text import interval

RANKING_IMAGES = 8
"""Images that the harm of quantizing one layer is measured on."""

_CONVERSION_WEIGHTS = (0.5, 1.0, 2.0)
"""Of the estimated cost of a conversion: each may give another choice of layers, and whole files decide."""

Score = Callable[[Path, str], float]
"""(file, name for progress) -> mean 3D Dice."""


@dataclass(frozen=True)
class Found:
    """The INT8 file that was chosen, and all that were tried."""

    path: Path
    chosen: Trial
    trials: tuple[Trial, ...]
    errors: dict[str, float]
    """Layer -> logit error (root mean square) of quantizing it alone; empty when no ranking was needed."""
    seconds: dict[str, tuple[float, float]]
    """Layer -> its time in float and in INT8; empty where the provider does not time layers."""


class Search:
    """One search over one float file; files go to `folder`."""

    calibrate = staticmethod(calibrate)
    quantize = staticmethod(quantize_int8)

    def __init__(
        self,
        model: Path,
        images: np.ndarray,
        folder: Path,
        *,
        score: Score,
        progress: Progress,
        threads: int | None = None,
        bits: int = 7,
        provider: str = "",
        rounds: int = 20,
        planned: tuple[str, ...] | None = None,
        transposed: bool = False,
    ) -> None:
        """images: (N, 1, H, W) float32 of training slices; `score` gives the mean Dice of a file; bits of weights.

        Layers are chosen by time too where `provider` times layers; "": by Dice alone. planned: layers that a plan has
        chosen by time already. transposed: transposed convolutions are quantized as they are.
        """
        self.model = prepare_int8(model, folder / "prepared.onnx", spread=not transposed)
        self.transposed = transposed
        self.original = model
        self.images = images
        self.folder = folder
        self.score = score
        self.progress = progress
        self.threads = threads
        self.bits = bits
        self.provider = provider
        self.rounds = rounds
        self.planned = planned
        self.seconds: dict[str, tuple[float, float]] = {}
        self.trials: list[Trial] = []

    def run(self, methods: Sequence[str], *, least_dice: float) -> Found:
        """The fastest file whose Dice is at least `least_dice`, by the best method of `methods`.

        Layers that are slower in INT8 stay in float; where the Dice does not hold, the fewest further ones. Raises
        `GateError` when no choice of layers holds it, and what quantizing raises.
        """
        calibrations = {name: self._calibrated(name) for name in methods}
        whole = [self._try(calibrations[name], ()) for name in methods]
        best = max(whole, key=lambda trial: trial.dice)
        calibration = calibrations[best.method]
        slower = self.slower(calibration) if self.planned is None else self.planned
        if slower:
            best = self._try(calibration, slower)
        if best.dice >= least_dice:
            return self._found(best, {})
        errors = {layer: error for layer, error in self.rank(calibration).items() if layer not in slower}
        ranked = sorted(errors, key=errors.__getitem__, reverse=True)
        return self._found(self._fewest(calibration, ranked, least_dice, slower=slower), errors)

    def slower(self, calibration: Calibration) -> tuple[str, ...]:
        """Layers to leave in float because the whole file is faster then, by timing whole files in turn."""
        if not self.provider or not find_provider(self.provider).times_layers:
            return ()
        whole = self._place(calibration.method, ())
        size = (int(self.images.shape[2]), int(self.images.shape[3]))
        times = measure_precisions(self.original, whole, size=size, threads=self.threads, rounds=self.rounds)
        self.seconds = {name: (seconds, times.int8_s[name]) for name, seconds in times.float_s.items()}
        choices = dict.fromkeys(times.slower(conversion=weight) for weight in _CONVERSION_WEIGHTS)
        some = [choice for choice in choices if 0 < len(choice) < len(times.float_s)]  # all in float is no INT8 file
        mixed = {f"choice {number}": choice for number, choice in enumerate(some)}
        if not mixed:
            return ()
        files = {"whole": whole} | {name: self._quantized(calibration, choice) for name, choice in mixed.items()}
        found = time_files(
            files, shape=(1, self.images.shape[1], *size), threads=self.threads, rounds=2 * self.rounds, warmup=2
        )
        best = max(mixed, key=lambda name: found.speedup(name).median)
        chosen = mixed[best]
        gain = found.speedup(best)
        self.progress.note(
            f"{len(chosen)} of {len(times.float_s)} layers are slower in INT8 here: in float32 the file is "
            f"{interval(gain.median, gain.low, gain.high)} times as fast as with all layers in INT8."
        )
        return chosen if gain.low > 1 else ()

    def rank(self, calibration: Calibration) -> dict[str, float]:
        """Layer -> root mean square of what quantizing it alone changes in the logits."""
        images = self.images[:: max(1, len(self.images) // RANKING_IMAGES)][:RANKING_IMAGES]
        reference = self._logits(self.original, images)
        layers = convolutions(self.model, transposed=self.transposed)
        errors = {}
        with self.progress.task("Sensitivity of layers", len(layers)) as task:
            for layer in layers:
                others = [name for name in layers if name != layer]
                alone = self._written(calibration, self.folder / "alone.onnx", others)
                errors[layer] = float(np.sqrt(np.mean((self._logits(alone, images) - reference) ** 2)))
                task.advance(info=f"{layer} {errors[layer]:.3g}")
        return errors

    def _calibrated(self, method: str) -> Calibration:
        peak = PeakMemory()
        found = self.calibrate(self.model, self.images, method=method, folder=self.folder)
        self.progress.note(f"Ranges of activations on {len(self.images)} training slices by {method}{peak.words()}.")
        return found

    def _quantized(self, calibration: Calibration, keep_float: Sequence[str]) -> Path:
        path = self._place(calibration.method, keep_float)
        return self._written(calibration, path, keep_float)

    def _written(self, calibration: Calibration, path: Path, keep_float: Sequence[str]) -> Path:
        operators = WITH_TRANSPOSED if self.transposed else QUANTIZED_OPERATORS
        return self.quantize(calibration, path, keep_float=keep_float, bits=self.bits, operators=operators)

    def _try(self, calibration: Calibration, keep_float: Sequence[str]) -> Trial:
        path = self._quantized(calibration, keep_float)
        name = f"INT8 {calibration.method}" + (f", {len(keep_float)} layers in float" if keep_float else "")
        self.trials.append(Trial(calibration.method, tuple(keep_float), self.score(path, name)))
        return self.trials[-1]

    def _fewest(
        self, calibration: Calibration, worst_first: Sequence[str], least_dice: float, *, slower: tuple[str, ...]
    ) -> Trial:
        """Double the number of further float layers until the budget holds, then halve the gap."""
        failed, count, most = 0, 1, len(worst_first) - 1
        while (found := self._try(calibration, (*slower, *worst_first[:count]))).dice < least_dice:
            if count >= most:
                raise self._hopeless(len(worst_first), least_dice)
            failed, count = count, min(2 * count, most)
        while count - failed > 1:
            middle = (count + failed) // 2
            trial = self._try(calibration, (*slower, *worst_first[:middle]))
            if trial.dice >= least_dice:
                found, count = trial, middle
            else:
                failed = middle
        return found

    def _hopeless(self, layers: int, least_dice: float) -> GateError:
        tried = max(self.trials, key=lambda trial: trial.dice)
        return GateError(
            f"No choice of INT8 layers keeps the Dice at {least_dice:.4f}: the best reached {tried.dice:.4f} "
            f"({tried.method}, {len(tried.float_layers)} of {layers} layers in float).",
            cure="Allow a larger --budget, or keep the float file.",
        )

    def _found(self, trial: Trial, errors: dict[str, float]) -> Found:
        return Found(self._place(trial.method, trial.float_layers), trial, tuple(self.trials), errors, self.seconds)

    def _place(self, method: str, in_float: Sequence[str]) -> Path:
        return self.folder / f"{method}-{len(in_float)}-{digest_json(list(in_float))[:8]}.onnx"

    def _logits(self, path: Path, images: np.ndarray) -> np.ndarray:
        return run_each(open_session(path, threads=self.threads, spinning="off").run, images)


def run_each(run: Run, images: np.ndarray) -> np.ndarray:
    """Logits (N, C, H, W) of images (N, 1, H, W), one at a time."""
    return np.concatenate([run(image[None]) for image in images])
