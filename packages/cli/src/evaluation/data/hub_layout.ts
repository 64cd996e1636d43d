// The location of a split's files in a data set's repository on the hub.
import type { DatasetLocation } from '../task.js';

/** A branch and its folders that may contain a split. */
export interface Layout {
  revision: string;
  folders: readonly string[];
  /** The file names of the split in a folder, with the number of parts if stated. */
  pattern: RegExp;
}

/**
 * The hub's Parquet conversion of every data set, SUBSET/SPLIT/0000.parquet; then the files of the main
 * branch, as SUBSET/SPLIT-00000-of-00001.parquet or data/SPLIT.jsonl.
 */
export function layoutsOf({ name }: DatasetLocation, split: string): Layout[] {
  return [
    {
      revision: 'refs/convert/parquet',
      folders: [`${name ?? 'default'}/${split}`],
      pattern: /^[\w.-]+\.parquet$/,
    },
    {
      revision: 'main',
      folders: name === null ? ['data', 'default', ''] : [name],
      pattern: new RegExp(`^${split}(?:-\\d{5}-of-(\\d{5}))?\\.(?:parquet|jsonl|json|csv)$`),
    },
  ];
}

/** Sorted paths of a split's files, from the first folder that has files of it. */
export function partsIn(files: readonly string[], { folders, pattern }: Layout): string[] {
  for (const folder of folders) {
    const prefix = folder === '' ? '' : `${folder}/`;
    const parts = files.filter(
      (file) => file.startsWith(prefix) && pattern.test(file.slice(prefix.length)),
    );
    if (parts.length > 0) return parts.toSorted();
  }
  return [];
}

/** Whether these are all parts that their names state; undefined if they state none. */
export function areAllParts(parts: readonly string[], { pattern }: Layout): boolean | undefined {
  const counts = parts.map((part) => pattern.exec(part.slice(part.lastIndexOf('/') + 1))?.[1]);
  const [count] = counts;
  if (count === undefined) return undefined;
  return Number(count) === parts.length;
}
