/** One DICOM file's header, read with suspicion: `compress/data/dicom/header.py` in JavaScript. */

import dicomParser, { type ByteArrayParser, type DataSet } from "dicom-parser";
import { bytesOf } from "../bytes";
import { DataFault } from "../faults";
import type { Knowledge } from "../knowledge";
import { formatNumber } from "../words";

const IMPLICIT = "1.2.840.10008.1.2";
const EXPLICIT = "1.2.840.10008.1.2.1";
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const NATIVE = [IMPLICIT, EXPLICIT, BIG_ENDIAN];
const PIXEL_DATA = "x7fe00010";
const UNDEFINED_LENGTH = 0xffffffff;
/** A class that dicom-parser exports and that its types do not tell of. */
const { DataSet: Elements } = dicomParser as unknown as {
  DataSet: new (parser: ByteArrayParser, bytes: Uint8Array, elements: DataSet["elements"]) => DataSet;
};
export const COPY_AGAIN = "Copy the folder again, or remove the file.";
const DECOMPRESS = "Decompress it first, for example with gdcmconv --raw or dcmdjpeg.";

/** How a file's voxels are stored. */
export interface Pixels {
  rows: number;
  columns: number;
  signed: boolean;
  /** Bytes of one stored number. */
  bytes: number;
  littleEndian: boolean;
  /** How many of the stored bits count. */
  bits: number;
  /** Where the first frame begins. */
  offset: number;
}

/** How a slice lies in the patient, in DICOM's coordinates (x to the left, y to the back, z to the head). */
export interface Plane {
  /** Direction along a row (3) and along a column (3). */
  orientation: number[];
  /** Millimetres between rows, and between columns. */
  spacing: [number, number];
}

/** One 2D image. */
export interface Frame {
  file: Blob;
  path: string;
  /** Which frame of its file, from 0. */
  index: number;
  series: number;
  plane: Plane;
  position: number[];
  /** Milliseconds since the R wave. */
  time: number | null;
  /** Temporal position and instance number. */
  order: [number, number];
  slope: number;
  intercept: number;
  pixels: Pixels;
}

/** One DICOM file that holds MR images. */
export interface Instance {
  file: Blob;
  path: string;
  uid: string;
  patient: string;
  study: string;
  series: string;
  number: number;
  description: string;
  imageType: string[];
  reference: string;
  /** What the frames of one stack have in common beside their geometry. */
  kind: string;
  frames: Frame[];
}

const TAGS = {
  SOPClassUID: "x00080016",
  TransferSyntaxUID: "x00020010",
  MediaStorageSOPClassUID: "x00020002",
  ImageType: "x00080008",
  SOPInstanceUID: "x00080018",
  SeriesDescription: "x0008103e",
  PatientID: "x00100020",
  EchoTime: "x00180081",
  TriggerTime: "x00181060",
  NominalCardiacTriggerDelayTime: "x00209153",
  StudyInstanceUID: "x0020000d",
  SeriesInstanceUID: "x0020000e",
  SeriesNumber: "x00200011",
  InstanceNumber: "x00200013",
  ImagePositionPatient: "x00200032",
  ImageOrientationPatient: "x00200037",
  FrameOfReferenceUID: "x00200052",
  TemporalPositionIdentifier: "x00200100",
  TemporalPositionIndex: "x00209128",
  SamplesPerPixel: "x00280002",
  PhotometricInterpretation: "x00280004",
  NumberOfFrames: "x00280008",
  Rows: "x00280010",
  Columns: "x00280011",
  PixelSpacing: "x00280030",
  BitsAllocated: "x00280100",
  BitsStored: "x00280101",
  HighBit: "x00280102",
  PixelRepresentation: "x00280103",
  RescaleIntercept: "x00281052",
  RescaleSlope: "x00281053",
  SharedFunctionalGroupsSequence: "x52009229",
  PerFrameFunctionalGroupsSequence: "x52009230",
  CardiacSynchronizationSequence: "x00189118",
  FrameContentSequence: "x00209111",
  PlanePositionSequence: "x00209113",
  PlaneOrientationSequence: "x00209116",
  PixelMeasuresSequence: "x00289110",
  PixelValueTransformationSequence: "x00289145",
} as const;

type Name = keyof typeof TAGS;

/** A DICOM file's header, or in words why it is left out: it holds no MR image. */
export async function readInstance(file: Blob, path: string, know: Knowledge["dicom"]): Promise<Instance | string> {
  const bytes = await bytesOf(file, path);
  try {
    return parse(bytes, file, path, know);
  } catch (fault) {
    if (fault instanceof DataFault) throw fault;
    const told = typeof fault === "object" && fault && "exception" in fault ? String(fault.exception) : String(fault);
    const reason = told.replace(/\s+/g, " ").replace(/^dicomParser\.\w+: /, "").slice(0, 120);
    throw new DataFault(`${path} is damaged DICOM: ${reason}.`, COPY_AGAIN);
  }
}

function parse(bytes: Uint8Array, file: Blob, path: string, know: Knowledge["dicom"]): Instance | string {
  const head = dicomParser.readPart10Header(bytes);
  if (!((head.string(TAGS.MediaStorageSOPClassUID) ?? "") in know.classes)) return "no MR image";
  const syntax = head.string(TAGS.TransferSyntaxUID) ?? "";
  checkSyntax(path, syntax, know);
  const data = elementsOf(bytes, head.elements, syntax);
  if (whole(data, "SamplesPerPixel", 1) !== 1) return "a picture in colour";
  return new Reader(file, path, data, pixelsOf(path, data, bytes, syntax, know)).instance();
}

/** All elements before the voxels. As in pydicom the first shows whether types are written out, whatever is said. */
function elementsOf(bytes: Uint8Array, head: DataSet["elements"], syntax: string): DataSet {
  const begin = Math.max(...Object.values(head).map((element) => element.dataOffset + element.length));
  const parser = syntax === BIG_ENDIAN ? dicomParser.bigEndianByteArrayParser : dicomParser.littleEndianByteArrayParser;
  const stream = new dicomParser.ByteStream(parser, bytes, begin);
  const data = new Elements(parser, bytes, {});
  const isLetter = (byte: number | undefined) => byte !== undefined && byte >= 0x41 && byte <= 0x5a;
  const explicit = isLetter(bytes[begin + 4]) && isLetter(bytes[begin + 5]);
  const read = explicit ? dicomParser.parseDicomDataSetExplicit : dicomParser.parseDicomDataSetImplicit;
  read(data, stream, bytes.length, { untilTag: PIXEL_DATA });
  return data;
}

function checkSyntax(path: string, syntax: string, know: Knowledge["dicom"]): void {
  if (NATIVE.includes(syntax)) return;
  if (!(syntax in know.packed)) {
    const told = syntax.slice(0, 64) || "nothing";
    throw new DataFault(`${path} has transfer syntax ${told}; this page reads uncompressed files.`, DECOMPRESS);
  }
  const message = `${path} is compressed (${know.packed[syntax]}), for which this page has no decoder.`;
  throw new DataFault(message, DECOMPRESS);
}

/** How the voxels are stored; what cannot be, or is not there in full, is refused before anything is allocated. */
function pixelsOf(path: string, data: DataSet, raw: Uint8Array, syntax: string, know: Knowledge["dicom"]): Pixels {
  const [rows, columns] = [whole(data, "Rows", 0), whole(data, "Columns", 0)];
  const frames = whole(data, "NumberOfFrames", 1) || 1;
  const side = (n: number) => n > 0 && n <= know.max_side;
  if (!side(rows) || !side(columns) || rows * columns * frames > know.max_cine_voxels) {
    throw new DataFault(`${path} claims ${columns} x ${rows} pixels in ${frames} frames: its header looks damaged.`);
  }
  const [bits, stored] = [whole(data, "BitsAllocated", 0), whole(data, "BitsStored", 0)];
  const fits = [8, 16, 32].includes(bits) && stored > 0 && stored <= bits;
  if (!fits || whole(data, "HighBit", stored - 1) !== stored - 1) {
    const expected = "expected 8, 16 or 32 bits with the lowest in use";
    throw new DataFault(`${path} stores ${stored} of ${bits} bits; ${expected}.`);
  }
  const grey = data.string(TAGS.PhotometricInterpretation) ?? "";
  if (grey !== "MONOCHROME2") {
    throw new DataFault(`${path} has ${grey.slice(0, 20) || "no"} grey levels; expected MONOCHROME2 (black is 0).`);
  }
  const littleEndian = syntax !== BIG_ENDIAN;
  return {
    rows,
    columns,
    signed: whole(data, "PixelRepresentation", 0) !== 0,
    bytes: bits / 8,
    littleEndian,
    bits: stored,
    offset: offsetOf(path, data, raw, littleEndian, (rows * columns * frames * bits) / 8),
  };
}

/** Where the voxels begin. What is there counts, not what the transfer syntax says of it. */
function offsetOf(path: string, data: DataSet, raw: Uint8Array, littleEndian: boolean, needed: number): number {
  const end = data.elements[PIXEL_DATA]?.dataOffset ?? 0;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const isTag = (at: number) =>
    at > 0 && view.getUint16(at, littleEndian) === 0x7fe0 && view.getUint16(at + 2, littleEndian) === 0x0010;
  const start = [end - 12, end - 8].find(isTag);
  if (start === undefined) throw new DataFault(`${path} is cut short: it holds no voxels.`, COPY_AGAIN);
  const explicit = ["OB", "OW"].includes(String.fromCharCode(raw[start + 4]!, raw[start + 5]!));
  const length = view.getUint32(start + (explicit ? 8 : 4), littleEndian);
  if (length === UNDEFINED_LENGTH) {
    throw new DataFault(`${path} holds compressed voxels, and its transfer syntax says uncompressed.`, COPY_AGAIN);
  }
  const offset = start + (explicit ? 12 : 8);
  const missing = needed - Math.min(length, raw.length - offset);
  if (missing > 0) {
    throw new DataFault(`${path} is cut short: ${missing} of ${needed} bytes are missing.`, COPY_AGAIN);
  }
  return offset;
}

/** A whole number, stored as text or in binary. */
function whole(data: DataSet, name: Name, otherwise: number): number {
  const element = data.elements[TAGS[name]];
  if (!element || !element.length) return otherwise;
  const isText = ["NumberOfFrames", "SeriesNumber", "InstanceNumber", "TemporalPositionIdentifier"].includes(name);
  const found = isText
    ? data.intString(TAGS[name])
    : element.length === 4
      ? data.uint32(TAGS[name])
      : data.uint16(TAGS[name]);
  return found === undefined || Number.isNaN(found) ? otherwise : found;
}

/** Decimal numbers stored as text, or one in binary (FD); null where there are none. */
function decimals(data: DataSet, name: Name): number[] | null {
  const element = data.elements[TAGS[name]];
  if (!element || !element.length) return null;
  if (name === "NominalCardiacTriggerDelayTime") return [data.double(TAGS[name])!];
  return (data.string(TAGS[name]) ?? "").split("\\").map((text) => (text.trim() === "" ? NaN : Number(text)));
}

/** Turns a parsed file into plain values. */
class Reader {
  constructor(
    private readonly file: Blob,
    private readonly path: string,
    private readonly data: DataSet,
    private readonly pixels: Pixels,
  ) {}

  instance(): Instance {
    const { data } = this;
    const imageType = (data.string(TAGS.ImageType) ?? "").split("\\").map((word) => word.trim().toUpperCase());
    const echo = (decimals(data, "EchoTime")?.[0] || 0).toFixed(2);
    const perFrame = itemsOf(data, "PerFrameFunctionalGroupsSequence");
    return {
      file: this.file,
      path: this.path,
      uid: this.need("SOPInstanceUID"),
      patient: data.string(TAGS.PatientID) ?? "",
      study: this.need("StudyInstanceUID"),
      series: this.need("SeriesInstanceUID"),
      number: whole(data, "SeriesNumber", 0),
      description: data.string(TAGS.SeriesDescription) ?? "",
      imageType,
      reference: data.string(TAGS.FrameOfReferenceUID) ?? "",
      kind: JSON.stringify([imageType.slice(2), echo]),
      frames: perFrame.length ? this.enhanced(perFrame) : [this.classic()],
    };
  }

  private need(name: Name): string {
    const value = this.data.string(TAGS[name]);
    if (!value) throw new DataFault(`${this.path} does not say its ${name}: it looks cut short.`, COPY_AGAIN);
    return value;
  }

  private classic(): Frame {
    const { data, path } = this;
    if ((whole(data, "NumberOfFrames", 1) || 1) !== 1) {
      throw new DataFault(`${path} holds several frames without saying where they lie.`, COPY_AGAIN);
    }
    const time = decimals(data, "TriggerTime") ?? decimals(data, "NominalCardiacTriggerDelayTime");
    const order = [whole(data, "TemporalPositionIdentifier", 0), whole(data, "InstanceNumber", 0)] as [number, number];
    return this.frame(0, [data], time?.[0] ?? null, order);
  }

  private enhanced(perFrame: DataSet[]): Frame[] {
    const shared = [this.data, ...itemsOf(this.data, "SharedFunctionalGroupsSequence")];
    const claimed = whole(this.data, "NumberOfFrames", 1) || 1;
    if (perFrame.length !== claimed) {
      throw new DataFault(`${this.path} claims ${claimed} frames and describes ${perFrame.length}.`, COPY_AGAIN);
    }
    return perFrame.map((group, index) => {
      const groups = [group, ...shared];
      const delay = find(groups, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime");
      const place = find(groups, "FrameContentSequence", "TemporalPositionIndex");
      const order = place ? whole(place, "TemporalPositionIndex", 0) : 0;
      const time = delay && decimals(delay, "NominalCardiacTriggerDelayTime");
      return this.frame(index, groups, time?.[0] ?? null, [order, index]);
    });
  }

  private frame(index: number, groups: DataSet[], time: number | null, order: [number, number]): Frame {
    const { path } = this;
    const numbers = (sequence: Name, name: Name, count: number) => {
      const place = find(groups, sequence, name);
      const found = place && decimals(place, name);
      if (!found || found.length !== count || !found.every(Number.isFinite)) {
        throw new DataFault(`${path} does not say where its slices lie in the patient.`, COPY_AGAIN);
      }
      return found;
    };
    const scale = (name: Name, otherwise: number) =>
      find(groups, "PixelValueTransformationSequence", name)
        ? numbers("PixelValueTransformationSequence", name, 1)[0]!
        : otherwise;
    const orientation = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6);
    const position = numbers("PlanePositionSequence", "ImagePositionPatient", 3);
    const spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2) as [number, number];
    const [slope, intercept] = [scale("RescaleSlope", 1), scale("RescaleIntercept", 0)];
    checkPlane(path, orientation, spacing);
    if (time !== null && !Number.isFinite(time)) {
      throw new DataFault(`${path} has the trigger time ${time}.`, COPY_AGAIN);
    }
    const series = whole(this.data, "SeriesNumber", 0);
    const plane = { orientation, spacing };
    const { file, pixels } = this;
    return { file, path, index, series, plane, position, time, order, slope, intercept, pixels };
  }
}

function itemsOf(data: DataSet, name: Name): DataSet[] {
  return (data.elements[TAGS[name]]?.items ?? []).flatMap((item) => (item.dataSet ? [item.dataSet] : []));
}

/** The first group that has a value: within its own sequence (enhanced files), or plainly (classic ones). */
function find(groups: DataSet[], sequence: Name, name: Name): DataSet | null {
  for (const group of groups) {
    for (const place of [...itemsOf(group, sequence), group]) if (place.elements[TAGS[name]]?.length) return place;
  }
  return null;
}

function checkPlane(path: string, orientation: number[], spacing: [number, number]): void {
  const [row, column] = [orientation.slice(0, 3), orientation.slice(3)];
  const across = row.reduce((sum, a, i) => sum + a * column[i]!, 0);
  if ([row, column].some((each) => Math.abs(Math.hypot(...each) - 1) > 0.01) || Math.abs(across) > 0.01) {
    throw new DataFault(`${path} has directions of rows and columns that are not at right angles.`, COPY_AGAIN);
  }
  if (!spacing.every((size) => size > 0 && size <= 100)) {
    const shown = spacing.map((size) => formatNumber(size, "g")).join(" x ");
    throw new DataFault(`${path} has pixels of ${shown} mm.`, "Correct its PixelSpacing.");
  }
}

/** One 2D image (Y, X) as float32, scaled as its header says. */
export async function readSlice(frame: Frame): Promise<Float32Array> {
  const { pixels, slope, intercept } = frame;
  const count = pixels.rows * pixels.columns;
  const start = pixels.offset + frame.index * count * pixels.bytes;
  const content = await bytesOf(frame.file.slice(start, start + count * pixels.bytes), frame.path);
  if (content.length < count * pixels.bytes) {
    throw new DataFault(`${frame.path} cannot be read: it is cut short.`, "Copy the folder again.");
  }
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const read = readerOf(view, pixels);
  const spare = 32 - pixels.bits; // old scanners keep overlays in the bits that do not count
  const found = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const raw = read(i * pixels.bytes) << spare;
    const used = pixels.signed ? raw >> spare : raw >>> spare;
    found[i] = Math.fround(Math.fround(used) * Math.fround(slope)) + Math.fround(intercept);
  }
  return found;
}

function readerOf(view: DataView, { bytes, littleEndian }: Pixels): (place: number) => number {
  if (bytes === 1) return (place) => view.getUint8(place);
  if (bytes === 2) return (place) => view.getUint16(place, littleEndian);
  return (place) => view.getUint32(place, littleEndian);
}
