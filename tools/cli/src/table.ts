/**
 * A table as lines of text.
 *
 * @param left how many columns, from the first, are aligned left; the others right
 */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[], left: number): string[] {
  const widths = header.map((title, column) =>
    rows.reduce((width, row) => Math.max(width, row[column].length), title.length),
  );
  return [header, ...rows].map((cells) =>
    cells
      .map((cell, column) => (column < left ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}
