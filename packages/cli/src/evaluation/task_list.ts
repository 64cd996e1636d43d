// Prints the tasks, groups and tags for --tasks list.
import { compactTable } from './compact_table.js';
import { evaluatedSplit, exampleSplit } from './task.js';
import { GROUPS, TAGS, TASKS } from './tasks/index.js';

/** What to list, by lm-eval's names; 'list' is everything. */
export const LISTS = ['list', 'list_groups', 'list_tags', 'list_subtasks'] as const;

/** Tables in Markdown. */
export function taskList(what: (typeof LISTS)[number]): string {
  const tables: string[] = [];
  if (what === 'list' || what === 'list_groups') {
    const rows = [...GROUPS.values()].map(({ name, members }) => [name, members.join(', ')]);
    tables.push(compactTable(['Group', 'Members'], rows));
  }
  if (what === 'list' || what === 'list_tags') {
    const rows = [...TAGS].map(([name, members]) => [name, members.join(', ')]);
    tables.push(compactTable(['Tag', 'Members'], rows));
  }
  if (what === 'list' || what === 'list_subtasks') {
    const rows = [...TASKS.values()].map(({ name, dataset }) => {
      const { path, name: subset } = dataset;
      const source = subset === null ? path : `${path} ${subset}`;
      return [name, source, evaluatedSplit(dataset), exampleSplit(dataset) ?? ''];
    });
    tables.push(compactTable(['Task', 'Dataset', 'Split', 'Few-shot split'], rows));
  }
  return tables.join('\n');
}
