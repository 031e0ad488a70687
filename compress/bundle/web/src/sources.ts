/** What was dropped on the page: which files are images, of which kind, and which belong together. */

import { bytesOf } from "./bytes";
import { findDicom } from "./dicom/examination";
import { DataFault } from "./faults";
import type { ImageFile } from "./image";
import type { Knowledge } from "./knowledge";
import { openNifti } from "./nifti";

/** One file as it was dropped. */
export interface Dropped {
  file: Blob;
  /** With its folders, "/" between them. */
  path: string;
}

/** One image of a study that is to be segmented. */
export interface Source {
  file: ImageFile;
  /** "ED", "ES" or "" when unknown. */
  phase: string;
  phaseFrom: string;
  /** The mask's file name. */
  mask: string;
}

/** A study is what one report speaks of. */
export interface Job {
  study: string;
  open(): Promise<Source[]>;
}

/** What was found among the dropped files. */
export interface Found {
  jobs: Job[];
  problems: DataFault[];
  notes: string[];
}

const MASK = /^.*_(gt|mask|seg|labels?)$/i;
const PHASE = /^(.+)_(ED|ES)$/i;
const CONVERT = "Convert other formats to .nii.gz first.";

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The name of a NIfTI file without its ending; null for other files. */
export function niftiStem(name: string): string | null {
  return /^(.+?)\.nii(\.gz)?$/i.exec(name)?.[1] ?? null;
}

/** Whether a file is DICOM (Part 10) by the four letters behind its preamble. */
export async function isDicom(file: Blob, name: string): Promise<boolean> {
  if (file.size < 132) return false;
  const magic = await bytesOf(file.slice(128, 132), name);
  return String.fromCharCode(...magic) === "DICM";
}

/** What is to be segmented. A `DataFault` when there is nothing, or when kinds are mixed. */
export async function findSources(dropped: Dropped[], know: Knowledge): Promise<Found> {
  const files = dropped
    .filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const nifti = files.filter(({ path }) => niftiStem(baseName(path)) !== null);
  const dicom: Dropped[] = [];
  for (const each of files) if (!nifti.includes(each) && (await isDicom(each.file, each.path))) dicom.push(each);
  if (nifti.length && dicom.length) {
    const folder = dicom[0]!.path.includes("/") ? dicom[0]!.path.split("/")[0]! : "What was dropped";
    throw new DataFault(`${folder} holds both DICOM and ${baseName(nifti[0]!.path)}.`, "Drop one kind at a time.");
  }
  if (nifti.length) return { jobs: niftiJobs(nifti, know), problems: [], notes: [] };
  if (dicom.length) {
    const found = await findDicom(dicom, know);
    const others = files.length - dicom.length;
    return others ? { ...found, notes: [`${others} file(s) left out: not DICOM`, ...found.notes] } : found;
  }
  if (files.length === 1) {
    const name = baseName(files[0]!.path);
    throw new DataFault(`${name} is no NIfTI file by its name (.nii.gz or .nii) and no DICOM file.`, CONVERT);
  }
  throw new DataFault("No image was found: no .nii.gz, no .nii and no DICOM file.", CONVERT);
}

function niftiJobs(files: Dropped[], know: Knowledge): Job[] {
  const stems = files.map(({ path }) => niftiStem(baseName(path))!);
  if (files.length > 1) {
    const mask = stems.findIndex((stem) => MASK.test(stem));
    if (mask >= 0) {
      const message = `${baseName(files[mask]!.path)} is a mask by its name, among the images.`;
      throw new DataFault(message, "Leave out the masks (_gt, _mask, _seg, _label).");
    }
  }
  const whole = phasePairs(stems);
  const studies = new Map<string, { file: Dropped; stem: string; phase: string }[]>();
  files.forEach((file, i) => {
    const match = PHASE.exec(stems[i]!);
    const study = match && whole.has(match[1]!) ? match[1]! : stems[i]!;
    const phase = match && whole.has(match[1]!) ? match[2]!.toUpperCase() : "";
    studies.set(study, [...(studies.get(study) ?? []), { file, stem: stems[i]!, phase }]);
  });
  return [...studies].map(([study, members]) => ({
    study,
    open: () =>
      Promise.all(
        [...members]
          .sort((a, b) => (a.phase < b.phase ? -1 : 1))
          .map(async ({ file, stem, phase }) => ({
            file: await openNifti(file.file, baseName(file.path), know),
            phase,
            phaseFrom: phase ? "file name" : "",
            mask: `${stem}.nii.gz`,
          })),
      ),
  }));
}

/** X of those that come as X_ED and X_ES, unless X itself is there too. */
function phasePairs(stems: string[]): Set<string> {
  const named = stems.flatMap((stem) => {
    const match = PHASE.exec(stem);
    return match ? [[match[1]!, match[2]!.toUpperCase()] as const] : [];
  });
  const count = (study: string, phase: string) => named.filter(([s, p]) => s === study && p === phase).length;
  const studies = named.map(([study]) => study);
  return new Set(studies.filter((s) => !stems.includes(s) && count(s, "ED") === 1 && count(s, "ES") === 1));
}
