"""What one would write without this project: segment one NIfTI volume with plain torch. The yardstick of `predict`.

    python benchmarks/plain_torch.py --save-weights final_model.safetensors dense.pt
    python benchmarks/plain_torch.py --weights dense.pt volume.nii.gz mask.nii.gz

Nothing is imported from here, so that nothing of ours is paid for: torch, nibabel, numpy, scipy. The network and the
rules are those of the dense width-32 network of benchmarks/acdc_w32.yaml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

FEATURES, CLASSES = (32, 64, 128, 256, 256), 4
SPACING, SIZE, PERCENTILES = 1.5, 160, (0.5, 99.5)
BATCH = 8


class DoubleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        return functional.relu(self.norm2(self.conv2(x)), inplace=True)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs in zip((1, *FEATURES), FEATURES, strict=False):
            self.encoders.append(DoubleConv(inputs, outputs))
        self.bottleneck = DoubleConv(FEATURES[-1], 2 * FEATURES[-1])
        inputs = 2 * FEATURES[-1]
        for outputs in reversed(FEATURES):
            self.decoders += [nn.ConvTranspose2d(inputs, outputs, 2, stride=2), DoubleConv(2 * outputs, outputs)]
            inputs = outputs
        self.head = nn.Conv2d(FEATURES[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for up, conv in zip(self.decoders[::2], self.decoders[1::2], strict=True):
            x = conv(torch.cat((skips.pop(), up(x)), dim=1))
        return self.head(x)


def overlap(have: int) -> tuple[slice, slice]:
    """Where `have` pixels and the centred window meet, in each one's indices."""
    length = min(have, SIZE)
    first, second = (have - length) // 2, (SIZE - length) // 2
    return slice(first, first + length), slice(second, second + length)


def resample(image: np.ndarray, shape: list[int]) -> np.ndarray:
    zoom = [want / have for want, have in zip(shape, image.shape, strict=True)]
    made = np.asarray(ndimage.zoom(image, zoom, order=3, mode="nearest", grid_mode=True))
    return np.clip(made, image.min(), image.max())


@torch.inference_mode()
def segment(network: nn.Module, volume: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """volume (Z, Y, X), spacing (y, x) in mm -> labels (Z, Y, X)."""
    native = volume.shape[1:]
    shape = [max(1, round(n * mm / SPACING)) for n, mm in zip(native, spacing, strict=True)]
    (rows, top), (columns, left) = map(overlap, shape)

    cropped = np.stack([resample(image, shape)[rows, columns] for image in volume])
    low, high = np.percentile(cropped, PERCENTILES)
    cropped = np.clip(cropped, low, high)
    cropped = (cropped - cropped.mean()) / cropped.std()
    images = np.full((len(volume), 1, SIZE, SIZE), cropped.min(), np.float32)
    images[:, 0, top, left] = cropped

    labels = []
    for batch in torch.from_numpy(images).split(BATCH):
        found = network(batch).softmax(1)
        grid = torch.zeros(len(batch), CLASSES, *shape)
        grid[:, 0] = 1.0
        grid[:, :, rows, columns] = found[:, :, top, left]
        grid = functional.interpolate(grid, size=native, mode="bilinear", align_corners=False)
        labels.append(grid.argmax(1).to(torch.uint8))
    return torch.cat(labels).numpy()


def predict(weights: Path, source: Path, target: Path) -> None:
    network = UNet()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    image = nib.Nifti1Image.from_filename(source)
    volume = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)
    x, y, _ = (float(size) for size in image.header.get_zooms()[:3])
    labels = segment(network, volume, (y, x))
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    nib.save(nib.Nifti1Image(labels.transpose(2, 1, 0), image.affine, header), target)


def save_weights(checkpoint: Path, target: Path) -> None:
    """A checkpoint of this project as a plain state_dict."""
    from safetensors.torch import load_file

    network = UNet()
    network.load_state_dict(load_file(checkpoint))
    torch.save(network.state_dict(), target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="NIfTI volume, or the checkpoint for --save-weights")
    parser.add_argument("target", type=Path, help="what to write")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--weights", type=Path, help="state_dict saved by --save-weights")
    task.add_argument("--save-weights", action="store_true")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    if asked.save_weights:
        save_weights(asked.source, asked.target)
    else:
        predict(asked.weights, asked.source, asked.target)


if __name__ == "__main__":
    main()
