/** An opened image, whatever it lies in: its header has been checked, its voxels are read frame by frame. */

export interface ImageFile {
  /** How messages name it. */
  name: string;
  /** (Z, Y, X) of one frame. */
  shape: [number, number, number];
  /** 1 for a 3D file. */
  frames: number;
  /** Millimetres along (z, y, x). */
  spacing: [number, number, number];
  /** The voxel size (z, y, x) that the affine tells. */
  told: [number, number, number];
  /** What a mask's header takes from the image's. */
  header: SpatialHeader;
  /** Whether the image says that it is synthetic. */
  phantom: boolean;
  /** Each frame as finite float32 (Z, Y, X). */
  volumes(): AsyncGenerator<Float32Array>;
  /** SHA-256 of what it was read from. */
  digest(): Promise<string>;
}

/** A NIfTI header as it stands in a file. */
export interface SpatialHeader {
  version: 1 | 2;
  littleEndian: boolean;
  block: Uint8Array;
}
