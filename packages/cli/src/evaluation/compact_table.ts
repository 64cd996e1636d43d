// Markdown tables in lm-evaluation-harness's format: no spaces around cells, numbers right-aligned.

/** A table with a centred header. A column is numeric if all its nonempty cells are. */
export function compactTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const columns = header.map((title, i) => {
    const cells = rows.map((row) => row[i] ?? '');
    const width = Math.max(3, ...[title, ...cells].map((cell) => cell.length));
    const filled = cells.filter((cell) => cell !== '');
    return { width, isNumeric: filled.length > 0 && filled.every((cell) => /^[\d.]+$/.test(cell)) };
  });
  const line = (cells: readonly string[]) => `|${cells.join('|')}|\n`;
  const titles = columns.map(({ width }, i) => centred(header[i] ?? '', width));
  const rule = columns.map(({ width, isNumeric }) =>
    isNumeric ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  const body = rows.map((row) =>
    line(
      columns.map(({ width, isNumeric }, i) =>
        isNumeric ? (row[i] ?? '').padStart(width) : (row[i] ?? '').padEnd(width),
      ),
    ),
  );
  return [line(titles), line(rule), ...body].join('');
}

function centred(text: string, width: number): string {
  const before = Math.floor((width - text.length) / 2);
  return `${' '.repeat(before)}${text}`.padEnd(width);
}
