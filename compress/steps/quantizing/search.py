"""Which calibration and which layers: INT8 as far as the Dice budget allows, found by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.errors import GateError
from compress.evaluate.quantized import Trial
from compress.export.quantize import Calibration, calibrate, convolutions, fill_shapes, quantize_int8
from compress.progress import Progress
from compress.runtime.predict import Run
from compress.runtime.session import open_session

RANKING_IMAGES = 8
"""Images that the harm of quantizing one layer is measured on."""

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
    ) -> None:
        """images: (N, 1, H, W) float32 of training slices; `score` gives the mean Dice of a file."""
        self.model = fill_shapes(model, folder / "shapes.onnx")
        self.original = model
        self.images = images
        self.folder = folder
        self.score = score
        self.progress = progress
        self.threads = threads
        self.trials: list[Trial] = []

    def run(self, methods: Sequence[str], *, least_dice: float) -> Found:
        """The file with the fewest float layers whose Dice is at least `least_dice`, by the best method of `methods`.

        Raises `GateError` when no choice of layers holds it, and what quantizing raises.
        """
        calibrations = {name: self._calibrated(name) for name in methods}
        whole = [self._try(calibrations[name], ()) for name in methods]
        best = max(whole, key=lambda trial: trial.dice)
        if best.dice >= least_dice:
            return self._found(best, {})
        calibration = calibrations[best.method]
        errors = self.rank(calibration)
        chosen = self._fewest(calibration, sorted(errors, key=errors.__getitem__, reverse=True), least_dice)
        return self._found(chosen, errors)

    def rank(self, calibration: Calibration) -> dict[str, float]:
        """Layer -> root mean square of what quantizing it alone changes in the logits."""
        images = self.images[:: max(1, len(self.images) // RANKING_IMAGES)][:RANKING_IMAGES]
        reference = self._logits(self.original, images)
        layers = convolutions(self.model)
        errors = {}
        with self.progress.task("Sensitivity of layers", len(layers)) as task:
            for layer in layers:
                others = [name for name in layers if name != layer]
                alone = self.quantize(calibration, self.folder / "alone.onnx", keep_float=others)
                errors[layer] = float(np.sqrt(np.mean((self._logits(alone, images) - reference) ** 2)))
                task.advance(info=f"{layer} {errors[layer]:.3g}")
        return errors

    def _calibrated(self, method: str) -> Calibration:
        self.progress.note(f"Measuring ranges of activations on {len(self.images)} training slices: {method}.")
        return self.calibrate(self.model, self.images, method=method, folder=self.folder)

    def _try(self, calibration: Calibration, keep_float: Sequence[str]) -> Trial:
        path = self.quantize(calibration, self._place(calibration.method, len(keep_float)), keep_float=keep_float)
        name = f"INT8 {calibration.method}" + (f", {len(keep_float)} layers in float" if keep_float else "")
        self.trials.append(Trial(calibration.method, tuple(keep_float), self.score(path, name)))
        return self.trials[-1]

    def _fewest(self, calibration: Calibration, worst_first: Sequence[str], least_dice: float) -> Trial:
        """Double the number of float layers until the budget holds, then halve the gap."""
        failed, count, most = 0, 1, len(worst_first) - 1
        while (found := self._try(calibration, worst_first[:count])).dice < least_dice:
            if count >= most:
                raise self._hopeless(len(worst_first), least_dice)
            failed, count = count, min(2 * count, most)
        while count - failed > 1:
            middle = (count + failed) // 2
            trial = self._try(calibration, worst_first[:middle])
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
        return Found(self._place(trial.method, len(trial.float_layers)), trial, tuple(self.trials), errors)

    def _place(self, method: str, in_float: int) -> Path:
        return self.folder / f"{method}-{in_float}.onnx"

    def _logits(self, path: Path, images: np.ndarray) -> np.ndarray:
        return run_each(open_session(path, threads=self.threads, spinning="off").run, images)


def run_each(run: Run, images: np.ndarray) -> np.ndarray:
    """Logits (N, C, H, W) of images (N, 1, H, W), one at a time."""
    return np.concatenate([run(image[None]) for image in images])
