// Finds the files of a split in a folder: our layout, a clone of the hub's repository, or an authors'
// archive.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Task } from '../task.js';

export interface SplitOptions {
  split: string;
  /** Whether a file named after the task alone is accepted. */
  isEvaluated: boolean;
}

/** In order of preference. */
const EXTENSIONS = ['jsonl', 'json', 'parquet', 'csv', 'tsv'];

/** The authors' names of the splits. */
const SPLIT_NAMES: Readonly<Record<string, readonly string[]>> = {
  validation: ['validation', 'valid', 'val', 'dev'],
};

/** The paths of a split's files in order; empty if there are none. */
export async function splitFiles(
  dir: string,
  task: Task,
  { split, isEvaluated }: SplitOptions,
): Promise<string[]> {
  const { name, dataset } = task;
  const subset = dataset.name ?? name;
  const folders = [...new Set([name, subset])];
  const places: [folder: string, stem: string][] = isEvaluated ? [['', name]] : [];
  for (const one of SPLIT_NAMES[split] ?? [split]) {
    for (const folder of folders) {
      places.push([folder, one]);
      // ARC-Easy/ARC-Easy-Test.jsonl
      places.push([folder, `${subset}-${one}`]);
      // The hub's branch of Parquet files: ARC-Easy/test/0000.parquet
      places.push([join(folder, one), '']);
    }
    for (const mark of ['.', '_', '-']) places.push(['', `${name}${mark}${one}`]);
    // MMLU's archive: test/anatomy_test.csv
    places.push([one, `${subset}_${one}`]);
  }
  for (const [folder, stem] of places) {
    const found = await filesNamed(join(dir, folder), stem);
    if (found.length > 0) return found;
  }
  return [];
}

/** One file STEM.EXTENSION, or all the parts STEM-00000-of-00003.parquet or 0000.parquet. */
async function filesNamed(folder: string, stem: string): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).toSorted();
  const path = (name: string) => join(folder, name);
  if (stem === '') return names.filter((name) => /^\d{4,}\.parquet$/.test(name)).map(path);
  const wanted = stem.toLowerCase();
  for (const extension of EXTENSIONS) {
    const ending = `.${extension}`;
    const whole = names.find((name) => name.toLowerCase() === wanted + ending);
    if (whole !== undefined) return [path(whole)];
    const parts = names.filter((name) => {
      const lower = name.toLowerCase();
      const middle = lower.slice(wanted.length, -ending.length);
      return lower.startsWith(wanted) && lower.endsWith(ending) && /^-\d{5}-of-\d{5}$/.test(middle);
    });
    if (parts.length > 0) return parts.map(path);
  }
  return [];
}
