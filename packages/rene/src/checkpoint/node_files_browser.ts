// Replaces node_files.ts in a page. It throws, since a page has no local files.
import { CheckpointError } from '../errors.js';

function refuse(path: unknown): never {
  throw new CheckpointError(`${path}: files can be read and written in Node only, not in a page`);
}

export const openFile = async (path: string) => refuse(path);
export const readJsonFile = async (path: string) => refuse(path);
export const readTextFile = async (path: string) => refuse(path);
export const fileExists = async (path: string) => refuse(path);
export const folderExists = async (path: string) => refuse(path);
export const writeFileAtomically = async (path: string) => refuse(path);
export const copyFileAtomically = async (path: string) => refuse(path);
