import { oneLine } from './printable.js';

/**
 * A table as lines of text.
 *
 * @param left how many columns, from the first, are aligned left; the others right
 */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[], left: number): string[] {
  const printed = rows.map((row) => row.map(oneLine));
  const widths = header.map((title, column) =>
    printed.reduce((width, row) => Math.max(width, row[column].length), title.length),
  );
  return [header, ...printed].map((cells) =>
    cells
      .map((cell, column) => (column < left ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}
