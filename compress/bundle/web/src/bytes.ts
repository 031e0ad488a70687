/** The bytes of a file from its beginning, unpacked when they are gzip, a part at a time. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { Deflate, Inflate } from "pako";
import { DataFault } from "./faults";

export const COPY_AGAIN = "Copy or download the file again.";
const PART = 2 ** 20;
/** Packed bytes at a time: deflate grows them a thousandfold at most. */
const PACKED_PART = 2 ** 14;

/** Reads forwards only, as a gzip stream can. */
export class ByteStream {
  readonly packed: boolean;
  private place = 0;
  private ready: Uint8Array[] = [];
  private readyBytes = 0;
  private readonly inflate: Inflate | null;
  private isOver = false;

  private constructor(
    private readonly blob: Blob,
    private readonly name: string,
    packed: boolean,
  ) {
    this.packed = packed;
    this.inflate = packed ? new Inflate() : null;
    if (this.inflate) this.inflate.onData = (part) => this.keep(part as Uint8Array);
  }

  /** Opened by content, not by name. */
  static async open(blob: Blob, name: string): Promise<ByteStream> {
    if (!blob.size) throw new DataFault(`${name} is empty (0 bytes).`, COPY_AGAIN);
    const magic = await bytesOf(blob.slice(0, 2), name);
    return new ByteStream(blob, name, magic[0] === 0x1f && magic[1] === 0x8b);
  }

  /** The next `count` bytes; fewer at the end. */
  async read(count: number): Promise<Uint8Array> {
    while (this.readyBytes < count && !this.isOver) await this.more();
    const found = new Uint8Array(Math.min(count, this.readyBytes));
    let filled = 0;
    while (filled < found.length) {
      const part = this.ready[0]!;
      const used = part.subarray(0, found.length - filled);
      found.set(used, filled);
      filled += used.length;
      if (used.length === part.length) this.ready.shift();
      else this.ready[0] = part.subarray(used.length);
    }
    this.readyBytes -= found.length;
    return found;
  }

  /** Pass over `count` bytes. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; left -= PART) await this.read(Math.min(left, PART));
  }

  private keep(part: Uint8Array): void {
    this.ready.push(part);
    this.readyBytes += part.length;
  }

  private async more(): Promise<void> {
    const size = this.inflate ? PACKED_PART : PART;
    const part = await bytesOf(this.blob.slice(this.place, this.place + size), this.name);
    this.place += part.length;
    const atEnd = this.place >= this.blob.size;
    if (!this.inflate) {
      this.keep(part);
      this.isOver = atEnd;
      return;
    }
    this.inflate.push(part, atEnd);
    if (this.inflate.err) this.fail(this.inflate.msg || "its packed bytes are damaged");
    if (atEnd && !this.inflate.ended) this.fail("it ends before the end of its packed bytes");
    this.isOver = atEnd || this.inflate.ended;
  }

  private fail(reason: string): never {
    throw new DataFault(`${this.name} cannot be read: ${reason}.`, COPY_AGAIN);
  }
}

/** A blob's content; a file that is gone or locked is a fault of the data. */
export async function bytesOf(blob: Blob, name: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (fault) {
    const reason = fault instanceof Error ? fault.name : String(fault);
    throw new DataFault(`${name} cannot be read: ${reason}.`, "Check its permissions.");
  }
}

/** SHA-256 of a blob's bytes, read a part at a time. */
export async function digestBlob(blob: Blob, name: string): Promise<string> {
  const digest = sha256.create();
  for (let place = 0; place < blob.size; place += PART) {
    digest.update(await bytesOf(blob.slice(place, place + PART), name));
  }
  return bytesToHex(digest.digest());
}

/** SHA-256 of bytes. */
export function digestBytes(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

/** A gzip file as Python's gzip module writes it without name and time: equal labels, equal bytes with the same zlib. */
export function gzip(...parts: Uint8Array[]): Uint8Array {
  const deflate = new Deflate({ level: 6, legacyHash: true, raw: true }); // as zlib itself does
  parts.forEach((part, i) => deflate.push(part, i === parts.length - 1)); // one after the other: a cine is large
  const body = deflate.result as Uint8Array;
  const head = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  const tail = new DataView(new ArrayBuffer(8));
  tail.setUint32(0, crc32(parts), true);
  tail.setUint32(4, lengthOf(parts) >>> 0, true);
  return concat([head, body, new Uint8Array(tail.buffer)]);
}

function lengthOf(parts: Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function concat(parts: Uint8Array[]): Uint8Array {
  const found = new Uint8Array(lengthOf(parts));
  let place = 0;
  for (const part of parts) {
    found.set(part, place);
    place += part.length;
  }
  return found;
}

let table: Uint32Array | null = null;

function crc32(parts: Uint8Array[]): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  let crc = ~0;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

/** Bytes from base64 text. */
export function fromBase64(text: string): Uint8Array {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}
