/** The separate pieces of a structure, and dropping the small ones: `compress/data/pieces.py` in JavaScript. */

export type Shape = [slices: number, rows: number, columns: number];

/** The sizes in voxels of the pieces of one label, and which piece each voxel belongs to (-1: none). */
export interface Pieces {
  piece: Int32Array;
  sizes: number[];
}

/** Voxels that meet at a corner belong together. */
export function findPieces(mask: Uint8Array, value: number, shape: Shape): Pieces {
  const [depth, height, width] = shape;
  const piece = new Int32Array(mask.length).fill(-1);
  const sizes: number[] = [];
  const waiting: number[] = [];
  for (let start = 0; start < mask.length; start++) {
    if (mask[start] !== value || piece[start] !== -1) continue;
    const number = sizes.length;
    let size = 0;
    piece[start] = number;
    waiting.push(start);
    while (waiting.length) {
      const here = waiting.pop()!;
      size++;
      const x = here % width;
      const y = Math.floor(here / width) % height;
      const z = Math.floor(here / (width * height));
      for (let k = Math.max(z - 1, 0); k <= Math.min(z + 1, depth - 1); k++) {
        for (let j = Math.max(y - 1, 0); j <= Math.min(y + 1, height - 1); j++) {
          for (let i = Math.max(x - 1, 0); i <= Math.min(x + 1, width - 1); i++) {
            const there = (k * height + j) * width + i;
            if (mask[there] === value && piece[there] === -1) {
              piece[there] = number;
              waiting.push(there);
            }
          }
        }
      }
    }
    sizes.push(size);
  }
  return { piece, sizes };
}

/** Make each piece that is smaller than a share of its structure's largest one background, in place. */
export function dropSmall(mask: Uint8Array, shape: Shape, shares: Map<number, number>): void {
  const gone: number[] = [];
  for (const [value, share] of shares) {
    const { piece, sizes } = findPieces(mask, value, shape);
    const least = share * sizes.reduce((a, b) => Math.max(a, b), 0);
    for (let i = 0; i < mask.length; i++) if (piece[i]! >= 0 && sizes[piece[i]!]! < least) gone.push(i);
  }
  for (const i of gone) mask[i] = 0;
}
