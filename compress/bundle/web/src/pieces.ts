/** The separate pieces of a structure, dropping small and bare ones, filling holes: `compress/data/pieces.py` in JavaScript. */

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

/**
 * Drop, in place, what a ring encloses in slices where less than a share of its outline lies on the ring, and that hold
 * more of it than those where it is enclosed.
 */
export function dropBare(mask: Uint8Array, shape: Shape, rings: Map<number, number>, share: number): void {
  const [depth, height, width] = shape;
  for (const [ring, inner] of rings) {
    const slices = Array.from({ length: depth }, (_, z) => mask.subarray(z * height * width, (z + 1) * height * width));
    const found = slices.map((slice) => outlineOf(slice, height, width, ring, inner));
    const bare = found.map(({ edges, held }) => held < share * edges);
    const most = Math.max(0, ...found.filter((_, z) => !bare[z]).map(({ size }) => size));
    slices.forEach((slice, z) => {
      if (most && bare[z] && found[z]!.size > most) for (let i = 0; i < slice.length; i++) if (slice[i] === inner) slice[i] = 0;
    });
  }
}

/** Pixels of what is inside, sides of them that meet something else, and how many of those meet the ring. */
function outlineOf(slice: Uint8Array, height: number, width: number, ring: number, inner: number) {
  let [size, edges, held] = [0, 0, 0];
  slice.forEach((value, here) => {
    if (value !== inner) return;
    size += 1;
    const [y, x] = [Math.floor(here / width), here % width];
    const beside = [y > 0 && here - width, y < height - 1 && here + width, x > 0 && here - 1, x < width - 1 && here + 1];
    for (const there of beside) {
      if (there === false || slice[there] === inner) continue;
      edges += 1;
      held += slice[there] === ring ? 1 : 0;
    }
  });
  return { size, edges, held };
}

/**
 * Make holes theirs, in place: background within one slice that meets one of these structures and nothing else. A ring's
 * hole stays in a slice without what it encloses.
 */
export function fillHoles(mask: Uint8Array, shape: Shape, values: Set<number>, rings: Map<number, number>): void {
  const [depth, height, width] = shape;
  for (let z = 0; z < depth; z++) {
    const slice = mask.subarray(z * height * width, (z + 1) * height * width);
    for (const { pixels, around } of holesOf(slice, height, width)) {
      const inner = rings.get(around);
      if (values.has(around) && (inner === undefined || slice.includes(inner))) for (const i of pixels) slice[i] = around;
    }
  }
}

/** The background regions of a slice that meet one structure alone, and no border; pixels meet at sides. */
function holesOf(slice: Uint8Array, height: number, width: number): { pixels: number[]; around: number }[] {
  const seen = new Uint8Array(slice.length);
  const found: { pixels: number[]; around: number }[] = [];
  for (let start = 0; start < slice.length; start++) {
    if (slice[start] !== 0 || seen[start]) continue;
    const pixels = [start];
    const met = new Set<number>();
    seen[start] = 1;
    for (let next = 0; next < pixels.length; next++) {
      const here = pixels[next]!;
      const [y, x] = [Math.floor(here / width), here % width];
      const beside = [y > 0 ? here - width : -1, y < height - 1 ? here + width : -1, x > 0 ? here - 1 : -1];
      beside.push(x < width - 1 ? here + 1 : -1);
      for (const there of beside) {
        if (there < 0 || slice[there] !== 0) met.add(there < 0 ? -1 : slice[there]!);
        else if (!seen[there]) {
          seen[there] = 1;
          pixels.push(there);
        }
      }
    }
    const [around] = met;
    if (met.size === 1 && around! > 0) found.push({ pixels, around: around! });
  }
  return found;
}
