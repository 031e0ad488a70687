"""One exported model that segments volumes: the file's own rules, from native image to native mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from compress.data.frames import ImageFile, open_image
from compress.data.label_file import write_labels
from compress.data.nnunet.tiles import mirrored
from compress.data.prepared import Prepared
from compress.data.preprocess import CENTRED, Preprocessing, Shift
from compress.data.rules import recentre_of
from compress.data.volume import ACDC_LABELS, Case, Volume, check_spacing
from compress.data.work import check_grey, check_pixels
from compress.errors import ConfigError, DataError, EnvironmentFault, ModelFileError
from compress.runtime.card import ModelCard, read_card
from compress.runtime.concerns import Concern, check_image, check_size, holds_ventricle
from compress.runtime.golden import changes, read_golden
from compress.runtime.machine import cpu_model, saturates_int8
from compress.runtime.modelfile import ModelFile, read_model_file, refuse_control_flow
from compress.runtime.orders import agreement, exchanged, exchanged_spacing
from compress.runtime.predict import Found, find
from compress.runtime.providers import find_provider
from compress.runtime.session import Session, open_session


@dataclass(frozen=True)
class Segmentation:
    """What the model found in one volume."""

    mask: np.ndarray
    """(Z, Y, X) uint8 label values on the image's own grid."""
    labels: dict[str, int]
    """Structure name -> label value; 0 is background."""
    spacing_mm: tuple[float, float, float]
    """Voxel size along (z, y, x)."""
    concerns: tuple[Concern, ...] = ()
    """Doubts about the image that `force` overruled."""
    members: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Structure -> the values that it is made of, where these are more than its own (regions)."""
    moves_mm: tuple[tuple[float, float], ...] = ()
    """Where the network's window was moved to, time after time: mm along (y, x) from the slices' centre."""
    cut_slices: tuple[int, ...] = ()
    """Slices, from 0, in which the heart still reaches an edge of the window: it may go on behind it."""
    agreement: Mapping[str, float] | None = None
    """Dice of this mask with that of the other storage order, by structure (`compress.runtime.orders`); None where
    nobody asked."""
    file: ImageFile | None = None
    """The 3D image file that was segmented, None for an array or a frame of a cine."""

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each structure in millilitres. Raises `DataError` where the slices cannot hold a ventricle."""
        if not holds_ventricle(self.concerns):
            raise DataError(
                f"No volume is stated of this image: {'; '.join(concern.message for concern in self.concerns)}.",
                cure="The mask is there; for volumes give a whole short-axis stack.",
            )
        millilitres = float(np.prod(self.spacing_mm)) / 1000.0
        of = {name: self.members.get(name, (value,)) for name, value in self.labels.items()}
        return {name: int(np.isin(self.mask, values).sum()) * millilitres for name, values in of.items()}

    def save(self, path: str | Path) -> Path:
        """Write the mask as NIfTI (.nii.gz or .nii) with every spatial field of the image file's header kept.

        Raises `DataError` for another name, or when what was segmented was no file.
        """
        if self.file is None:
            raise DataError("Only the mask of a 3D image file can be saved as NIfTI.", cure="Use segment_file.")
        return write_labels(Path(path), self.mask, like=self.file)


class Segmenter:
    """Segments volumes with one exported model.

        segmenter = Segmenter("model.onnx")
        found = segmenter.segment_file("patient001_frame01.nii.gz")
        found.mask, found.volumes_ml, found.save("mask.nii.gz")

    `tta` takes the mean over mirrored images, as nnU-Net does, or does not; None: what the file says. `batch_size` is
    how many slices the network sees at a time (None: what suits the provider); it bounds the memory and does not change
    the masks. A file that was changed after its export, or lost its self-test,
    is refused unless `altered`. `check_orientation` segments every volume with rows and columns exchanged, too, and
    compares. Raises `ModelFileError` for a file that is not one of ours,
    `ProviderError` when the provider is not truly there, `ConfigError` for an unknown provider or a batch
    size below 1.
    """

    def __init__(
        self,
        model: str | Path | ModelFile,
        *,
        provider: str = "cpu",
        threads: int | None = None,
        batch_size: int | None = None,
        altered: bool = False,
        tta: bool | None = None,
        check_orientation: bool = False,
    ) -> None:
        self.check_orientation = check_orientation
        self.batch_size = find_provider(provider).slices if batch_size is None else check_batch_size(batch_size)
        file = model if isinstance(model, ModelFile) else read_model_file(Path(model))
        refuse_control_flow(file)
        self.card: ModelCard = read_card(file.metadata, file.path)
        if not altered:
            refuse_altered(file, self.card)
        if self.card.weight_bits == 8 and not find_provider(provider).memory:
            refuse_saturation(str(file.path))
        # Threads that spin while they wait would take the cores from the resampling, and from everyone else.
        self.session: Session = open_session(file, provider=provider, threads=threads, spinning="off")
        _check_fit(self.session, self.card)
        self.mirror_axes: tuple[int, ...] = _mirror_axes(self.card, tta)

    def segment(
        self, image: np.ndarray, *, spacing_mm: tuple[float, float, float], force: bool = False, name: str = "image"
    ) -> Segmentation:
        """Segment one volume (Z, Y, X) of any number type, voxel size in mm along (z, y, x).

        A network of several channels takes them as (C, Z, Y, X), in the order of its card.

        Raises `DataError` for an image that cannot be segmented, or is unlike those of the training unless
        `force`; `name` is what the message calls it.
        """
        return self._segment(image, spacing_mm, force=force, name=name, affine=None)

    def _segment(
        self,
        image: np.ndarray,
        spacing_mm: tuple[float, float, float],
        *,
        force: bool,
        name: str,
        affine: np.ndarray | None,
    ) -> Segmentation:
        image = np.asarray(image)
        if image.dtype.kind in "iuf":  # others are refused below
            image = np.ascontiguousarray(image, dtype=np.float32)
        spacing = check_spacing(spacing_mm, name)
        concerns = self._concerns(image, spacing, force=force, name=name, affine=affine)
        found = self._find(image, spacing, name)
        agreed = self._agreement(found.mask, image, spacing, name) if self.check_orientation else None
        return Segmentation(
            found.mask,
            dict(self.card.labels),
            spacing,
            tuple(concerns),
            members=self.card.members,
            moves_mm=self._in_mm(found.moves),
            cut_slices=found.cut,
            agreement=agreed,
        )

    def _find(self, image: np.ndarray, spacing: tuple[float, float, float], name: str) -> Found:
        return find(
            mirrored(self.run, self.mirror_axes),
            lambda moved: self.prepare(image, spacing, name=name, moved=moved),
            recentre=recentre_of(self.card.preprocessing),
            batch_size=self.batch_size,
            tidy=self.card.tidy,
        )

    def _agreement(
        self, mask: np.ndarray, image: np.ndarray, spacing: tuple[float, float, float], name: str
    ) -> dict[str, float]:
        other = self._find(exchanged(image), exchanged_spacing(spacing), name)
        return agreement(mask, exchanged(other.mask), self.card.members)

    def _in_mm(self, moves: tuple[Shift, ...]) -> tuple[tuple[float, float], ...]:
        y, x = self.card.preprocessing.spacing_mm
        return tuple((rows * y, columns * x) for rows, columns in moves)

    def _concerns(
        self,
        image: np.ndarray,
        spacing: tuple[float, float, float],
        *,
        force: bool,
        name: str,
        affine: np.ndarray | None,
    ) -> list[Concern]:
        """Of every channel; what asks for a heart in short-axis slices only where the network segments one."""
        heart = self.card.nnunet is None or set(ACDC_LABELS) <= set(self.card.labels)
        channels = image if image.ndim == 4 and self.card.channels > 1 else [image]
        found: dict[Concern, None] = {}
        for each in channels:
            expected, known = self.card.range, {"force": force, "affine": affine, "heart": heart}
            found |= dict.fromkeys(check_image(each, spacing, name=name, expected=expected, **known))
        return list(found)

    def prepare(
        self, image: np.ndarray, spacing_mm: tuple[float, float, float], *, name: str, moved: Shift = CENTRED
    ) -> Prepared:
        """A volume (Z, Y, X) on the network's grid, seen through a window that was moved where there is one.

        Raises `DataError` for a volume that would fill the memory.
        """
        image = np.asarray(image)
        check_pixels(image, spacing_mm, name=name, rules=self.card.preprocessing, scores=self.card.heads)
        check_grey(image, name)
        volume = Volume(Case(name, "", Path(name), None), image, None, spacing_mm, np.eye(4))
        rules = self.card.preprocessing
        return rules.forward(volume, moved) if isinstance(rules, Preprocessing) else rules.forward(volume)

    def segment_file(self, path: str | Path, *, force: bool = False) -> Segmentation:
        """Segment a 3D NIfTI image. Raises `DataError` as `segment` does, for unreadable files, and for a cine."""
        file = open_image(Path(path))
        if file.is_cine:
            raise DataError(f"{path} is a cine of {file.frames} frames.", cure="Use segment_frames.")
        return replace(next(self.segment_frames(file, force=force)), file=file)

    def segment_frames(self, image: str | Path | ImageFile, *, force: bool = False) -> Iterator[Segmentation]:
        """Segment a cine frame by frame (a 3D image: its one frame), with one frame in memory. Raises as `segment`."""
        file = image if isinstance(image, ImageFile) else open_image(Path(image))
        check_size(file.shape, file.spacing, name=str(file.path), expected=self.card.range, force=force)
        for number, frame in enumerate(file.volumes(), start=1):
            name = f"Frame {number} of {file.path}" if file.is_cine else str(file.path)
            yield self._segment(frame, file.spacing, force=force, name=name, affine=file.affine)

    def run(self, images: np.ndarray) -> np.ndarray:
        """images (N, 1, H, W) float32 -> logits (N, classes, H, W) float32.

        Raises `ModelFileError` when the graph gives another shape than it says: ONNX Runtime lets that pass.
        """
        logits = self.session.run(images)
        wanted = (len(images), self.card.heads, *images.shape[2:])
        if logits.shape != wanted:
            raise ModelFileError(
                f"{self.session.path} gives logits of shape {logits.shape}; its images and classes need {wanted}.",
                cure="Export the model again.",
            )
        return logits


def _mirror_axes(card: ModelCard, tta: bool | None) -> tuple[int, ...]:
    """As nnU-Net, a network of its that may not be mirrored is run as it is, asked or not."""
    if tta and card.nnunet is None:
        raise ConfigError(
            "This model was not trained on mirrored images in the way of nnU-Net: there is no --tta for it.",
            cure="Leave it out.",
        )
    return card.mirrored if tta is None else card.mirror_axes if tta else ()


def refuse_saturation(what: str) -> None:
    """Raise `EnvironmentFault` where whole-number weights of eight bits would give wrong sums."""
    if saturates_int8():
        raise EnvironmentFault(
            f"{what} has INT8 weights of 8 bits; on a processor without VNNI ({cpu_model()}) their sums saturate.",
            cure="Use weights of 7 bits (`cardiocompress quantize --weights 7`), or the float file.",
        )


def refuse_altered(file: ModelFile, card: ModelCard) -> None:
    """Raise `ModelFileError` for a file that was altered after its export, before anything of it runs.

    One flipped bit of a weight gives masks that only look right; the self-test's digests show it.
    """
    if found := changes(file, read_golden(file, card)):
        raise ModelFileError(f"{file.path}: {' and '.join(found)}.", cure="Do not use it: copy or export it again.")


def check_batch_size(batch_size: int) -> int:
    """The size itself; `ConfigError` below 1."""
    if batch_size < 1:
        raise ConfigError(f"The batch size is {batch_size}; at least 1 slice is needed.")
    return batch_size


def _check_fit(session: Session, card: ModelCard) -> None:
    """The graph must be what the card says."""
    batch, _, *sides = session.inner.get_inputs()[0].shape
    fixed = [(side, size) for side, size in zip(sides, card.preprocessing.size, strict=True) if isinstance(side, int)]
    if isinstance(batch, int) or any(side != size for side, size in fixed):
        raise ModelFileError(
            f"{session.path}: its graph takes image batches of {[batch, *sides]} alone; any number of slices of "
            f"{list(card.preprocessing.size)} pixels is needed.",
            cure="Export the model again.",
        )
    classes = session.inner.get_outputs()[0].shape[1]
    said = (card.channels, card.multiple_of, card.heads)
    if (session.channels, session.divisor or card.multiple_of, classes) != said:
        raise ModelFileError(
            f"{session.path}: its graph takes {session.channels} channel(s) in multiples of {session.divisor} "
            f"and gives {classes} classes; its model card says {said[0]}, {said[1]} and {said[2]}.",
            cure="Export the model again.",
        )
