// Sources of a task's documents: a file, a folder of files, or the hub.
import { folderExists } from '@rene-js/rene/internal';
import { EvaluationError } from '../errors.js';
import { type Doc, evaluatedSplit, exampleSplit, type Task } from '../task.js';
import { readDocuments } from './document_file.js';
import { splitFiles } from './split_files.js';

/** The documents to evaluate and those for few-shot examples. */
export interface TaskDocs {
  docs: readonly Doc[];
  fewshotDocs: readonly Doc[];
}

/** A source of documents. */
export interface DocSource {
  /**
   * The documents of a task.
   *
   * @param withExamples whether documents for few-shot examples are needed
   */
  load(task: Task, withExamples: boolean): Promise<TaskDocs>;
}

/**
 * Documents of a single task from a file (JSONL, JSON, CSV, TSV or Parquet).
 *
 * @param fewshotPath a file with the documents for few-shot examples
 */
export function fileDocs(path: string, fewshotPath?: string): DocSource {
  return {
    load: async () => ({
      docs: await readDocuments(path),
      fewshotDocs: fewshotPath === undefined ? [] : await readDocuments(fewshotPath),
    }),
  };
}

/**
 * Documents of any task from a folder: TASK.jsonl or TASK/SPLIT.jsonl, with examples in
 * TASK/FEWSHOT_SPLIT.jsonl or TASK.FEWSHOT_SPLIT.jsonl (for MMLU, `dev`). The files may be JSON, CSV, TSV or
 * Parquet, and may be arranged as in a clone of the hub's repository or in the authors' archive.
 */
export function folderDocs(dir: string): DocSource {
  return {
    async load(task, withExamples) {
      const split = evaluatedSplit(task.dataset);
      const fewshotSplit = exampleSplit(task.dataset);
      const files = await splitFiles(dir, task, { split, isEvaluated: true });
      if (files.length === 0) {
        if (!(await folderExists(dir))) throw new EvaluationError(`${dir}: no such folder`);
        const { name } = task;
        throw new EvaluationError(
          `${dir}: no documents of ${name}; expected ${name}.jsonl or ${name}/${split}.jsonl ` +
            `or ${name}.${split}.jsonl, or one of these as .json, .csv, .tsv or .parquet`,
        );
      }
      const examples =
        withExamples && fewshotSplit !== undefined
          ? await splitFiles(dir, task, { split: fewshotSplit, isEvaluated: false })
          : [];
      return { docs: await readAll(files), fewshotDocs: await readAll(examples) };
    },
  };
}

async function readAll(paths: readonly string[]): Promise<Doc[]> {
  const docs: Doc[] = [];
  for (const path of paths) docs.push(...(await readDocuments(path)));
  return docs;
}
