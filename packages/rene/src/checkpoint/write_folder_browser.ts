// Replaces write_folder.ts in a page. It throws, since a page has no local files.
import { writeFileAtomically } from './node_files_browser.js';
import type { FolderFile } from './write_folder.js';

const nothing = (name: string): FolderFile => ({
  name,
  write: writeFileAtomically.bind(null, name),
});

export const copyOf = (_from: string, name: string) => nothing(name);
export const writeFolder = (dir: string | URL) => writeFileAtomically(String(dir));
export const isSameFolder = async (a: string, b: string) => a === b;
