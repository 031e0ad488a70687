"""Fifty DICOM studies of phantoms: memory of `predict` over few and over many, and what a kill in the middle costs.

    python benchmarks/many_studies.py MODEL.onnx WORK_FOLDER [--studies 50]

Each study has the ED and ES of one phantom patient as a cine of two frames, one file a slice. The first run is killed
(SIGKILL) when a part of the reports is there; the second goes on with --resume.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from compress.data.phantom import make_patient

FEW = 5
KILL_AT = 0.4
"""Share of the studies that have a report when the run is killed."""


def main() -> None:
    asked = parse()
    for count in (FEW, asked.studies):
        for number in range(1, count + 1):
            folder = asked.work / f"scans{count}" / f"study{number:03d}"
            if not folder.exists():  # an earlier run's
                write_study(folder, number)
    files = sum(1 for _ in (asked.work / f"scans{asked.studies}").rglob("*.dcm"))
    print(f"{asked.studies} studies, {files} files")
    few = run(asked.model, asked.work / f"scans{FEW}", asked.work / "few")
    many, out = asked.work / f"scans{asked.studies}", asked.work / "many"
    killed = run(asked.model, many, out, kill_at=round(KILL_AT * asked.studies))
    there = {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}
    rest = run(asked.model, many, out, "--resume")
    kept = sum(1 for name, told in there.items() if (out / name).stat().st_mtime_ns == told)
    left = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
    print("| run | studies with a report | seconds | peak memory (MiB) |\n|---|---|---|---|")
    print(f"| {FEW} studies | {FEW} | {few[0]:.0f} | {few[1]:.0f} |")
    print(f"| {asked.studies} studies, killed | {len(there)} | {killed[0]:.0f} | {killed[1]:.0f} |")
    print(f"| resumed | {len(list(out.glob('*.json')))} | {rest[0]:.0f} | {rest[1]:.0f} |")
    print(f"\nKept by the resumed run: {kept} of {len(there)}; partial files left: {len(left)}")


def run(model: Path, source: Path, out: Path, *more: str, kill_at: int | None = None) -> tuple[float, float]:
    """Seconds and peak memory in MiB of one `predict` with one thread."""
    command = [sys.executable, "-m", "cli", "predict", str(model), str(source), "-o", str(out), "--threads", "1", *more]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while kill_at is not None and child.returncode is None and len(list(out.glob("*.json"))) < kill_at:
            time.sleep(0.2)
        if kill_at is not None:
            child.send_signal(signal.SIGKILL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != (0 if kill_at is None else -signal.SIGKILL):
        sys.exit(f"predict ended with {child.returncode}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def write_study(folder: Path, number: int) -> None:
    """Phantom patient `number`, tilted as a heart's short axis is, without any real name."""
    patient = make_patient(number, seed=7)
    folder.mkdir(parents=True, exist_ok=True)
    across = np.cross(ROW, COLUMN)
    for time_index, phase in enumerate(("ED", "ES")):
        for z, image in enumerate(patient.images[phase]):
            data = header(number, f"{time_index}-{z}")
            gap, *pixel = patient.spacing
            data.PixelSpacing, data.SliceThickness = [round(size, 6) for size in pixel], round(gap, 6)
            data.ImageOrientationPatient = [*ROW, *COLUMN]
            data.ImagePositionPatient = [round(float(value), 6) for value in z * gap * across]
            data.TriggerTime, data.InstanceNumber = 300.0 * time_index, 1 + 2 * z + time_index
            data.Rows, data.Columns = image.shape
            data.PixelData = np.ascontiguousarray(image, "<i2").tobytes()
            data.save_as(folder / f"{z:02d}_{time_index}.dcm", enforce_file_format=True)


ROW = (0.77038, 0.618446, 0.155046)
COLUMN = (-0.15161, 0.41389, -0.897613)
"""Of a short-axis slice."""


def header(number: int, name: str) -> Dataset:
    def uid(*words: object) -> str:
        return generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=[f"{number}", *map(str, words)])

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    data.SOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("image", name)
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uid("study"), uid("series"), uid("frame")
    data.PatientName, data.PatientID, data.Modality, data.SeriesNumber = f"Phantom^{number}", f"{number}", "MR", 3
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    return data


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--studies", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    main()
