// Makes folders, step by step. Node's recursive mkdir never returns where a file system answers ENOENT to
// a new folder whose parent is there, as /proc does (Node 20 to 24).
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../system_errors.js';

/**
 * Makes a folder and those above it.
 *
 * @returns the outermost one that was not there before, undefined for none
 */
export function makeFolder(dir: string): string | undefined {
  const missing: string[] = [];
  for (let folder = resolve(dir); !isThere(folder); folder = dirname(folder)) missing.push(folder);
  // A file may have this name.
  if (missing.length === 0) makeOne(resolve(dir));
  for (const folder of missing.toReversed()) makeOne(folder);
  return missing.at(-1);
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another process may have been faster.
    const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
    if (systemCode(error) !== 'EEXIST' || !isFolder) throw error;
  }
}

function isThere(path: string): boolean {
  return dirname(path) === path || statSync(path, { throwIfNoEntry: false }) !== undefined;
}
