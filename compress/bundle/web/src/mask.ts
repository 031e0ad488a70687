/** Writing labels onto exactly the grid that their image claims: `compress/data/label_file.py` in JavaScript. */

import { fromBase64, gzip } from "./bytes";
import type { SpatialHeader } from "./image";
import type { Knowledge } from "./knowledge";

/** A mask as .nii.gz: every spatial field of the image's header is kept bit for bit, and nothing else. */
export function writeMask(frames: Uint8Array[], like: SpatialHeader, know: Knowledge): Uint8Array {
  return gzip(maskHeader(like, know), new Uint8Array(4), ...frames);
}

function maskHeader(like: SpatialHeader, know: Knowledge): Uint8Array {
  const { block, spatial } = know.mask[like.version === 1 ? "nifti1" : "nifti2"];
  const found = fromBase64(block);
  for (const [offset, size, count] of spatial) {
    for (let i = 0; i < count; i++) {
      const place = offset + i * size;
      const value = like.block.slice(place, place + size);
      found.set(like.littleEndian ? value : value.reverse(), place);
    }
  }
  return found;
}
