// A JSON file to write into a folder.
import { stringifyJson } from '../json.js';
import type { FolderFile } from './write_folder.js';

/** A file of JSON to be written. */
export function jsonFile(name: string, value: unknown): FolderFile {
  return { name, write: (put) => put(new TextEncoder().encode(stringifyJson(value))) };
}
