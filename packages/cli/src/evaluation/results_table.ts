// Formats the metrics of tasks and groups as tables in lm-evaluation-harness's style.
import { compactTable } from './compact_table.js';
import type { Evaluation, TaskResult } from './evaluate.js';

interface Entry {
  name: string;
  version: string;
  numFewshot: string;
  estimates: TaskResult['estimates'];
  /** Names of a group's members. */
  members: readonly string[];
}

/** Markdown tables of tasks and, if any, groups. */
export function resultsTable(evaluation: Evaluation): string {
  const entries = hierarchy(evaluation);
  const groups = entries.filter(({ members }) => members.length > 0);
  const tables = [table('Tasks', entries)];
  if (groups.length > 0) tables.push(table('Groups', groups));
  return tables.join('\n');
}

/** Groups with their members below them, then the other tasks; each level sorted by name. */
function hierarchy({ tasks, groups }: Evaluation): Entry[] {
  const known = new Map<string, Entry>();
  for (const { task, numFewshot, estimates } of tasks) {
    const { name, alias = name, version } = task;
    const entry = { name: alias, version: String(version), numFewshot: String(numFewshot) };
    known.set(name, { ...entry, estimates, members: [] });
  }
  for (const { group, estimates } of groups) {
    const { name, alias, version, members } = group;
    const member = tasks.find(({ task }) => members.includes(task.name));
    const numFewshot = member ? String(member.numFewshot) : '';
    known.set(name, { name: alias, version, numFewshot, estimates, members });
  }
  const shown: Entry[] = [];
  const visit = (name: string, depth: number): void => {
    const entry = known.get(name);
    if (!entry) return;
    shown.push({ ...entry, name: depth > 0 ? `${' '.repeat(depth)}- ${entry.name}` : entry.name });
    for (const member of entry.members.toSorted()) visit(member, depth + 1);
  };
  const below = new Set(groups.flatMap(({ group }) => group.members));
  const names = [groups.map(({ group }) => group.name), tasks.map(({ task }) => task.name)];
  for (const level of names) {
    for (const name of level.filter((one) => !below.has(one)).toSorted()) visit(name, 0);
  }
  return shown;
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
  return compactTable(header, rows);
}
