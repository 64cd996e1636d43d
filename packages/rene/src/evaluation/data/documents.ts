// A task's documents: from a file, a folder of files, or the hub.
import { join } from 'node:path';
import { fileExists, folderExists } from '../../checkpoint/node_files.js';
import { EvaluationError } from '../errors.js';
import { readRecords } from '../jsonl.js';
import { type Doc, evaluatedSplit, exampleSplit, isDoc, type Task } from '../task.js';

/** The documents to evaluate, and those that serve as examples. */
export interface TaskDocs {
  docs: readonly Doc[];
  fewshotDocs: readonly Doc[];
}

/** Where documents come from. */
export interface DocSource {
  /**
   * The documents of a task.
   *
   * @param withExamples whether examples are needed; where not, they may be left out
   */
  load(task: Task, withExamples: boolean): Promise<TaskDocs>;
}

/**
 * The documents of a single task from a file.
 *
 * @param path JSONL: a document a line, or records that hold one as `doc`, as samples files do
 * @param fewshotPath likewise, the examples
 */
export function fileDocs(path: string, fewshotPath?: string): DocSource {
  return {
    load: async () => ({
      docs: (await readRecords(path)).map(unwrap),
      fewshotDocs: fewshotPath === undefined ? [] : (await readRecords(fewshotPath)).map(unwrap),
    }),
  };
}

/**
 * Documents of any task from a folder: TASK.jsonl or TASK/SPLIT.jsonl, examples in
 * TASK/FEWSHOT_SPLIT.jsonl or TASK.FEWSHOT_SPLIT.jsonl (for MMLU, `dev`).
 */
export function folderDocs(dir: string): DocSource {
  return {
    async load(task, withExamples) {
      const split = evaluatedSplit(task.dataset);
      const fewshotSplit = exampleSplit(task.dataset);
      const path = await firstFile(dir, candidates(task, split, true));
      if (path === undefined) {
        if (!(await folderExists(dir))) throw new EvaluationError(`${dir}: no such folder`);
        const names = candidates(task, split, true).join(' or ');
        throw new EvaluationError(`${dir}: no documents of ${task.name}; expected ${names}`);
      }
      const examples =
        withExamples && fewshotSplit !== undefined
          ? await firstFile(dir, candidates(task, fewshotSplit, false))
          : undefined;
      return fileDocs(path, examples).load(task, withExamples);
    },
  };
}

function candidates({ name }: Task, split: string, evaluated: boolean): string[] {
  const files = [`${name}/${split}.jsonl`, `${name}.${split}.jsonl`];
  return evaluated ? [`${name}.jsonl`, ...files] : files;
}

async function firstFile(dir: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    if (await fileExists(join(dir, name))) return join(dir, name);
  }
  return undefined;
}

function unwrap(record: Doc): Doc {
  return isDoc(record.doc) ? record.doc : record;
}
