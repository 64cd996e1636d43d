// The figures of each task and group as a table, in the form that lm-evaluation-harness prints.
import type { Evaluation, TaskResult } from './evaluate.js';

interface Entry {
  name: string;
  version: string;
  numFewshot: string;
  estimates: TaskResult['estimates'];
}

/** Tables of tasks, and of groups where there are any, in Markdown. */
export function resultsTable(evaluation: Evaluation): string {
  const { groups } = evaluation;
  const tables = [table('Tasks', hierarchy(evaluation))];
  if (groups.length > 0) {
    tables.push(table('Groups', hierarchy({ tasks: [], groups })));
  }
  return tables.join('\n');
}

/** Groups with their members below them, then the tasks of no group; each level by name. */
function hierarchy({ tasks, groups }: Evaluation): Entry[] {
  const entries: Entry[] = [];
  const seen = new Set<string>();
  const visit = (name: string, depth: number): void => {
    const task = tasks.find((result) => result.task.name === name);
    const group = groups.find((result) => result.group.name === name)?.group;
    const alias = task ? (task.task.alias ?? name) : (group?.alias ?? name);
    const shown = depth > 0 ? `${' '.repeat(depth)}- ${alias}` : alias;
    seen.add(name);
    if (task) {
      const { version } = task.task;
      const numFewshot = String(task.numFewshot);
      const { estimates } = task;
      entries.push({ name: shown, version: String(version), numFewshot, estimates });
    } else if (group) {
      const { estimates } = groups.find((result) => result.group === group) ?? { estimates: {} };
      const member = tasks.find((result) => group.members.includes(result.task.name));
      const numFewshot = member ? String(member.numFewshot) : '';
      entries.push({ name: shown, version: group.version, numFewshot, estimates });
    }
    for (const child of (group?.members ?? []).toSorted()) {
      if (isThere(child)) visit(child, depth + 1);
    }
  };
  const isThere = (name: string) =>
    tasks.some((result) => result.task.name === name) ||
    groups.some((result) => result.group.name === name);
  const members = new Set(groups.flatMap(({ group }) => group.members));
  const roots = groups.map(({ group }) => group.name).filter((name) => !members.has(name));
  for (const name of roots.toSorted()) visit(name, 0);
  const others = tasks.map(({ task }) => task.name).filter((name) => !seen.has(name));
  for (const name of others.toSorted()) visit(name, 0);
  return entries;
}

function table(title: string, entries: readonly Entry[]): string {
  const header = [title, 'Version', 'Filter', 'n-shot', 'Metric', '', 'Value', '', 'Stderr'];
  const rows = entries.flatMap(({ name, version, numFewshot, estimates }) =>
    Object.entries(estimates)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([metric, { mean, stderr }], i) => [
        i === 0 ? name : '',
        i === 0 ? version : '',
        'none',
        numFewshot,
        metric,
        // Higher is better for all metrics here.
        '↑',
        mean.toFixed(4),
        '±',
        stderr === null ? '   N/A' : stderr.toFixed(4),
      ]),
  );
  return markdown(header, rows);
}

/** Cells without spaces around them, numbers to the right, the header in the middle. */
function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
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
