/** Errors that a person can act on: what was got, and the cure, in the words of `predict`. */

/** The user's files are wrong, or the image is unlike those of the training. */
export class DataFault extends Error {
  /** What the person can do about it. */
  readonly cure: string;

  constructor(message: string, cure = "") {
    super(message);
    this.name = "DataFault";
    this.cure = cure;
  }

  /** One line, the cure included. */
  get line(): string {
    return `${this.message} ${this.cure}`.trim();
  }
}

/** Doubts about an image that a person may overrule. */
export class ConcernFault extends DataFault {}

/** Any error as one line. */
export function lineOf(fault: unknown): string {
  if (fault instanceof DataFault) return fault.line;
  if (fault instanceof RangeError && /alloc|length/i.test(fault.message)) return "The browser has too little memory.";
  return fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
}
