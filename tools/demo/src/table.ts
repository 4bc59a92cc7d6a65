/** A column of a table: its heading, and what it says about a row. */
export interface Column<Row> {
  readonly heading: string;
  readonly value: (row: Row) => string;
  /** Text goes to the left, numbers to the right. */
  readonly align: 'left' | 'right';
}

/** Rows under headings, in columns as wide as they need to be. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const widths = columns.map(({ heading, value }) => Math.max(heading.length, ...rows.map((row) => value(row).length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (columns[i].align === 'left' ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return [
    line(columns.map(({ heading }) => heading)),
    line(widths.map((width) => '─'.repeat(width))),
    ...rows.map((row) => line(columns.map(({ value }) => value(row)))),
  ].join('\n');
}
