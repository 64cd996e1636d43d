// Creates folders one by one. Node's recursive mkdir never returns if a file system reports ENOENT for a new
// folder whose parent exists, as /proc does (Node 20 to 24).
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../system_errors.js';

/**
 * Creates a folder and its missing parents.
 *
 * @returns the outermost folder that was created; undefined if none was
 */
export function makeFolder(dir: string): string | undefined {
  const missing: string[] = [];
  for (let folder = resolve(dir); !isThere(folder); folder = dirname(folder)) missing.push(folder);
  // There may be a file of this name.
  if (missing.length === 0) makeOne(resolve(dir));
  for (const folder of missing.toReversed()) makeOne(folder);
  return missing.at(-1);
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another process may have created it.
    const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
    if (systemCode(error) !== 'EEXIST' || !isFolder) throw error;
  }
}

function isThere(path: string): boolean {
  return dirname(path) === path || statSync(path, { throwIfNoEntry: false }) !== undefined;
}
