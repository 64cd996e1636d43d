// The tasks by name, and groups for averages.
import { EvaluationError } from '../errors.js';
import type { Task } from '../task.js';
import { arcChallenge, arcEasy } from './arc.js';
import { copa } from './copa.js';
import { hellaswag } from './hellaswag.js';
import { MMLU_GROUPS, mmluTasks } from './mmlu.js';
import { openbookqa } from './openbookqa.js';
import { piqa } from './piqa.js';
import { winogrande } from './winogrande.js';

/** Tasks or groups that are averaged, weighted by documents. */
export interface Group {
  name: string;
  alias: string;
  /** A string in lm-eval's files, unlike a task's version. */
  version: string;
  /** Names of tasks or of groups. */
  members: readonly string[];
}

/** The seven 0-shot tasks of the model card, in its order; MMLU is the eighth. */
export const ZERO_SHOT_TASKS: readonly Task[] = [
  copa,
  hellaswag,
  piqa,
  arcEasy,
  arcChallenge,
  winogrande,
  openbookqa,
];

export const TASKS: ReadonlyMap<string, Task> = new Map(
  [...ZERO_SHOT_TASKS, ...mmluTasks].map((task) => [task.name, task]),
);

/** Inner groups first, so that they are computed in this order. */
export const GROUPS: ReadonlyMap<string, Group> = new Map(
  [
    ...Object.entries(MMLU_GROUPS).map(([name, subjects]) => ({
      name: `mmlu_${name}`,
      alias: name.replaceAll('_', ' '),
      version: '2',
      members: subjects.map((subject) => `mmlu_${subject}`),
    })),
    {
      name: 'mmlu',
      alias: 'mmlu',
      version: '2',
      members: Object.keys(MMLU_GROUPS).map((name) => `mmlu_${name}`),
    },
  ].map((group) => [group.name, group]),
);

/** Tags: names for several tasks, without an average. */
export const TAGS: ReadonlyMap<string, readonly string[]> = new Map([
  ['ai2_arc', [arcEasy.name, arcChallenge.name]],
]);

/** The selected tasks, and the groups to average. */
export interface Selection {
  tasks: Task[];
  groups: Group[];
}

/**
 * The tasks for a list of names of tasks, groups and tags; `*` matches any text, 'all' means the eight of
 * the model card.
 *
 * @param custom custom tasks, which can be selected by name too
 * @throws EvaluationError for an unknown name
 */
export function selectTasks(names: readonly string[], custom: readonly Task[] = []): Selection {
  const known = new Map([...TASKS, ...custom.map((task): [string, Task] => [task.name, task])]);
  const tasks = new Set<Task>();
  const groups = new Set<Group>();
  const add = (name: string): void => {
    const task = known.get(name);
    const group = GROUPS.get(name);
    if (task) tasks.add(task);
    if (group) groups.add(group);
    for (const member of group?.members ?? TAGS.get(name) ?? []) add(member);
  };
  const eight = [...ZERO_SHOT_TASKS.map(({ name }) => name), 'mmlu'];
  for (const name of names.flatMap((n) => (n === 'all' ? eight : [n]))) {
    const all = [...known.keys(), ...GROUPS.keys(), ...TAGS.keys()];
    const matches = all.filter(matcher(name));
    if (matches.length === 0) throw unknownTask(name, all);
    for (const match of matches) add(match);
  }
  return { tasks: [...tasks], groups: [...GROUPS.values()].filter((group) => groups.has(group)) };
}

/** Whether a name is a task, a group or a tag, or a pattern that matches one. */
export function namesTask(name: string): boolean {
  const fits = matcher(name);
  return name === 'all' || [...TASKS.keys(), ...GROUPS.keys(), ...TAGS.keys()].some(fits);
}

function matcher(name: string): (candidate: string) => boolean {
  if (!name.includes('*')) return (candidate) => candidate === name;
  const escaped = name.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`^${escaped.join('.*')}$`);
  return (candidate) => pattern.test(candidate);
}

function unknownTask(name: string, known: readonly string[]): EvaluationError {
  const shown = known.filter((n) => !n.startsWith('mmlu_'));
  return new EvaluationError(
    `--tasks: unknown task '${name}'; expected one of ${shown.join(', ')}, or mmlu_SUBJECT for one of its 57 subjects`,
  );
}
