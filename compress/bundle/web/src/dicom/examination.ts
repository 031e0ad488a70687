/** What DICOM files hold: short-axis stacks, and in words all that was left out: `examination.py` and `layout.py`. */

import { digestBlob } from "../bytes";
import { DataFault } from "../faults";
import type { Knowledge } from "../knowledge";
import type { Dropped, Found, Job } from "../sources";
import { buildStack, type Stack } from "./build";
import { readInstance, type Instance } from "./header";
import { isCine, join, nameOf, runsOf, slicesOf, type Run } from "./runs";
import { openStack } from "./stack";
import { describeView, isShortAxis } from "./views";

const SHOWN = 6;

/** The studies among DICOM files: one examination, or one in each subfolder. */
export async function findDicom(files: Dropped[], know: Knowledge): Promise<Found> {
  if (files.length > know.dicom.max_files) {
    throw new DataFault(`More than ${know.dicom.max_files} files were dropped.`, "Give one examination's folder.");
  }
  const found: Found = { jobs: [], problems: [], notes: [] };
  const units = await examinationsIn(files, know);
  for (const unit of units) {
    try {
      const read = await readExamination(unit, know);
      found.notes.push(...read.notes.map((note) => (units.length > 1 ? `${unit.name}: ${note}` : note)));
      found.problems.push(...read.faults);
      found.jobs.push(...jobsOf(unit.name, read, know));
    } catch (fault) {
      if (!(fault instanceof DataFault)) throw fault;
      found.problems.push(fault);
    }
  }
  return found;
}

interface Read {
  stacks: Stack[];
  faults: DataFault[];
  notes: string[];
}

function jobsOf(name: string, read: Read, know: Knowledge): Job[] {
  const alone = read.stacks.length + read.faults.length === 1;
  return read.stacks.map((stack) => {
    const base = name.replace(/[^\w.-]+/g, "_") || "study";
    const study = alone ? base : `${base}_series${stack.numbers[0]}`;
    const source = { file: openStack(stack, name, know), phase: "", phaseFrom: "", mask: `${study}.nii.gz` };
    return { study, open: () => Promise.resolve([source]) };
  });
}

interface Unit {
  name: string;
  files: { file: Blob; path: string; instance?: Instance | string | DataFault }[];
}

/** The folders that each hold one examination, its series together or in subfolders of their own. */
async function examinationsIn(files: Dropped[], know: Knowledge): Promise<Unit[]> {
  const inside = files.filter(({ path }) => path.includes("/"));
  if (inside.length < files.length) return [{ name: fileName(files), files }];
  return below(files, 0, know);
}

function fileName(files: Dropped[]): string {
  return files.length === 1 ? files[0]!.path.replace(/^.*\//, "").replace(/\.dcm$/i, "") : "study";
}

/** The examinations of files that lie in one folder, `depth` folders deep. */
async function below(files: Dropped[], depth: number, know: Knowledge): Promise<Unit[]> {
  const folders = Map.groupBy(files, ({ path }) => path.split("/").slice(0, depth + 1).join("/"));
  const found: Unit[] = [];
  for (const [folder, members] of folders) {
    const name = depth === 0 ? folder : folder.split("/").slice(1).join("_");
    const parts = members.map(({ path }) => path.split("/").length - 1);
    const children = new Set(members.map(({ path }) => path.split("/").slice(0, depth + 2).join("/")));
    if (parts.some((count) => count === depth + 1) || (children.size > 1 && (await oneStudy(members, know)))) {
      found.push({ name, files: members });
    } else {
      found.push(...(await below(members, depth + 1, know)));
    }
  }
  return found;
}

/** Whether the first readable image of each subfolder belongs to one examination. */
async function oneStudy(files: Dropped[], know: Knowledge): Promise<boolean> {
  const folders = Map.groupBy(files, ({ path }) => path.split("/").slice(0, -1).join("/"));
  const studies = new Set<string>();
  for (const members of folders.values()) {
    for (const { file, path } of members.slice(0, 8)) {
      const read = await readInstance(file, path, know.dicom).catch(() => "");
      if (typeof read === "string") continue;
      studies.add(read.study);
      break;
    }
  }
  return studies.size === 1;
}

async function readExamination(unit: Unit, know: Knowledge): Promise<Read> {
  const found: Read = { stacks: [], faults: [], notes: [] };
  const instances = oneExamination(unit.name, await instancesOf(unit, found.notes, know));
  const runs = runsOf(instances, know.dicom);
  const count = (run: Run) => slicesOf(run, know.dicom).length;
  for (const run of runs) {
    const why = leftOut(run, know);
    if (why) found.notes.push(`${called(run)}: ${count(run)} slice(s), ${why}: left out`);
  }
  const stacks = join(runs.filter((run) => !leftOut(run, know)), know.dicom);
  const whole = stacks.filter((run) => count(run) >= know.dicom.min_slices);
  const cines = whole.filter((run) => isCine(run, know.dicom));
  for (const run of stacks) {
    if (!whole.includes(run)) {
      found.notes.push(`${called(run)}: ${count(run)} short-axis slice(s) are no stack: left out`);
    } else if (cines.length && !cines.includes(run)) {
      found.notes.push(`${called(run)}: short axis without motion, beside a cine: left out`);
    } else {
      build(run, unit.name, found, know);
    }
  }
  if (!found.stacks.length && !found.faults.length) {
    throw new DataFault(`${unit.name} holds no short-axis stack: ${listed(runs, know)}.`, "Give the whole examination.");
  }
  return found;
}

function build(run: Run, folder: string, found: Read, know: Knowledge): void {
  try {
    const { stack, notes } = buildStack(run, folder, know);
    const frames = stack.frames.length > 1 ? `, ${stack.frames.length} frames` : "";
    found.notes.push(`${called(run)}: short axis, ${stack.frames[0]!.length} slices${frames}`, ...notes);
    found.stacks.push(stack);
  } catch (fault) {
    if (!(fault instanceof DataFault)) throw fault;
    found.faults.push(fault);
  }
}

/** Why a run cannot be a part of a stack, null when it can. */
function leftOut(run: Run, know: Knowledge): string | null {
  if (run.imageType.some((word) => know.dicom.phase_images.includes(word))) return "phase images";
  const { orientation } = run.plane;
  return isShortAxis(orientation, know.dicom) ? null : describeView(orientation, know.dicom);
}

function called(run: Run): string {
  return run.description ? `${nameOf(run)} '${run.description}'` : nameOf(run);
}

function listed(runs: Run[], know: Knowledge): string {
  if (!runs.length) return "no file in it is an MR image";
  const shown = runs.map(
    (run) =>
      `${nameOf(run)} has ${slicesOf(run, know.dicom).length} slice(s), ${describeView(run.plane.orientation, know.dicom)}`,
  );
  return shown.slice(0, SHOWN).join("; ") + (shown.length > SHOWN ? `; and ${shown.length - SHOWN} more` : "");
}

/** All MR images, each once. */
async function instancesOf(unit: Unit, notes: string[], know: Knowledge): Promise<Instance[]> {
  const found = new Map<string, Instance>();
  const skipped = new Map<string, number>();
  const skip = (why: string) => skipped.set(why, (skipped.get(why) ?? 0) + 1);
  for (const { file, path } of unit.files) {
    const read = await readInstance(file, path, know.dicom);
    if (typeof read === "string") {
      skip(read);
      continue;
    }
    const other = found.get(read.uid);
    if (!other) {
      found.set(read.uid, read);
      continue;
    }
    if ((await digestBlob(other.file, other.path)) !== (await digestBlob(file, path))) {
      throw new DataFault(`${other.path} and ${path} differ, but claim to be one image.`, "Copy the folder again.");
    }
    skip("a copy of another");
  }
  notes.push(...[...skipped].sort().map(([why, count]) => `${count} file(s) left out: ${why}`));
  return [...found.values()];
}

function oneExamination(name: string, instances: Instance[]): Instance[] {
  for (const [what, key] of [["patients", "patient"], ["examinations", "study"]] as const) {
    const count = new Set(instances.map((instance) => instance[key])).size;
    if (count > 1) {
      throw new DataFault(`${name} mixes images of ${count} ${what}.`, "Give each a folder of its own.");
    }
  }
  return instances;
}
