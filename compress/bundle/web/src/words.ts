/** Python's format strings: the words come from the package, as JSON, and are filled in here. */

export type Values = Record<string, string | number>;

/** `template` with its `{name}` and `{name:spec}` filled in; specs are "g", ".3g", ".6g", ".0f", ".1f" and the like. */
export function fill(template: string, values: Values): string {
  return template.replace(/\{([a-z_]+)(?::([^}]*))?\}/g, (_, name: string, spec?: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for {${name}} in '${template}'`);
    return spec === undefined ? String(value) : formatNumber(Number(value), spec);
  });
}

/** A number as Python's format() writes it. */
export function formatNumber(value: number, spec: string): string {
  const match = /^(?:\.(\d+))?([gf])$/.exec(spec);
  if (!match) throw new Error(`unknown format '${spec}'`);
  if (match[2] === "f") return fixed(value, Number(match[1] ?? 6));
  return general(value, Math.max(1, Number(match[1] ?? 6)));
}

/** Digits that show whether a number lies exactly between two shorter ones. */
const EXACT = 100;

/** Both languages round the exact value; halfway between two numbers, Python takes the even one. */
function fixed(value: number, digits: number): string {
  const exact = Math.abs(value).toFixed(EXACT);
  const point = exact.indexOf(".");
  return isTowardsEven(exact, point + 1 + digits) ? sign(value) + cutAt(exact, point + 1 + digits) : value.toFixed(digits);
}

function exponential(value: number, digits: number): string {
  const [exact, power] = Math.abs(value).toExponential(EXACT).split("e") as [string, string];
  return isTowardsEven(exact, 2 + digits)
    ? `${sign(value)}${cutAt(exact, 2 + digits)}e${power}`
    : value.toExponential(digits);
}

/** Whether `exact` lies halfway behind its first `length` letters, and their last digit is even. */
function isTowardsEven(exact: string, length: number): boolean {
  return /^50*$/.test(exact.slice(length)) && Number(cutAt(exact, length).slice(-1)) % 2 === 0;
}

function cutAt(exact: string, length: number): string {
  return exact.slice(0, length).replace(/\.$/, "");
}

function sign(value: number): string {
  return value < 0 ? "-" : "";
}

function general(value: number, precision: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa, power] = exponential(value, precision - 1).split("e") as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= precision) {
    const digits = String(Math.abs(exponent)).padStart(2, "0");
    return `${trimZeros(mantissa)}e${exponent < 0 ? "-" : "+"}${digits}`;
  }
  return trimZeros(fixed(value, Math.max(0, precision - 1 - exponent)));
}

function trimZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Python's round(): halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** `value` rounded to `digits` behind the point, as JSON documents state it. */
export function rounded(value: number, digits: number): number {
  return Number(formatNumber(value, `.${digits}f`));
}
