/**
 * What terminals obey instead of showing it, or show out of order: control characters (C0 but for the line end, DEL, C1),
 * marks and overrides of writing direction, separators of lines.
 */
const STEERING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Text as it may be printed: names in files are any text, and must not steer the terminal. The escapes are those of JSON, so
 * that JSON says the same afterwards.
 */
export function printable(text: string): string {
  return text.replace(STEERING, escaped);
}

/** A name as it may be printed within a line. */
export function oneLine(name: string): string {
  return printable(name).replaceAll('\n', '\\n');
}

/** Writes text to standard output, {@link printable}. */
export function print(text: string): void {
  process.stdout.write(printable(text));
}
