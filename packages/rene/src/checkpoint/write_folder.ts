// Writes the files of a model's folder: all of them or none.
import { rmdirSync, rmSync } from 'node:fs';
import { open, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileError } from '../file_errors.js';
import { pathOf } from './file_url.js';
import { makeFolder } from './make_folder.js';
import { atExit } from './temporary_files.js';

/** A file to write. */
export interface FolderFile {
  readonly name: string;
  /** Produces its bytes piece by piece. */
  write(put: (bytes: Uint8Array) => Promise<void>): Promise<void>;
}

/** A copy of a small file. */
export function copyOf(from: string, name: string): FolderFile {
  return {
    name,
    async write(put) {
      const bytes = await readFile(from).catch((error: unknown) => {
        throw fileError(from, 'read', error);
      });
      await put(bytes);
    },
  };
}

/**
 * Writes every file under a temporary name and renames them when all are complete. On failure the folder is
 * unchanged, or removed if it was new.
 *
 * @param folder a path or a file URL
 * @throws FileError naming the file that cannot be written; CheckpointError for other URLs
 */
export async function writeFolder(
  folder: string | URL,
  files: readonly FolderFile[],
): Promise<void> {
  const dir = pathOf(folder, 'a local folder or its file URL');
  const made = madeFolder(dir);
  const ending = `.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  const temporary = (file: FolderFile) => join(dir, file.name + ending);
  const release = atExit(() => {
    for (const file of files) rmSync(temporary(file), { force: true });
    for (const folder of foldersFrom(resolve(dir), made)) rmdirSync(folder);
  });
  try {
    for (const file of files) await writeOne(join(dir, file.name), temporary(file), file);
    for (const file of files) {
      const path = join(dir, file.name);
      await rename(temporary(file), path).catch((error: unknown) => {
        throw fileError(path, 'written', error);
      });
    }
  } catch (error) {
    for (const file of files) await rm(temporary(file), { force: true });
    await removeEmpty(resolve(dir), made);
    throw error;
  } finally {
    release();
  }
}

function madeFolder(dir: string): string | undefined {
  try {
    return makeFolder(dir);
  } catch (error) {
    throw fileError(dir, 'written', error);
  }
}

async function writeOne(path: string, temporary: string, file: FolderFile): Promise<void> {
  try {
    const handle = await open(temporary, 'wx');
    try {
      await file.write(async (bytes) => {
        for (let done = 0; done < bytes.byteLength; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
          done += bytesWritten;
        }
      });
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(path, 'written', error);
  }
}

/** Removes the created folders that are empty. */
async function removeEmpty(dir: string, first: string | undefined): Promise<void> {
  for (const folder of foldersFrom(dir, first)) {
    const isGone = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!isGone) return;
  }
}

/** The folders from the innermost to `first`; none if that is undefined. */
function* foldersFrom(dir: string, first: string | undefined): Generator<string, void, void> {
  if (first === undefined) return;
  for (let folder = dir; folder.length >= first.length; folder = dirname(folder)) yield folder;
}

/** Whether two paths are the same folder, also through links. */
export async function isSameFolder(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all(
    [a, b].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  if (!first || !second) return false;
  return first.dev === second.dev && first.ino === second.ino;
}
