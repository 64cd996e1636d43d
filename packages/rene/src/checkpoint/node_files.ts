// File system access of the checkpoint code in Node.
import { rmSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CheckpointError } from '../errors.js';
import { fileError } from '../file_errors.js';
import { parseJson } from '../json.js';
import { systemCode, systemReason } from '../system_errors.js';
import { type ByteSource, checkRange } from './byte_source.js';
import { makeFolder } from './make_folder.js';
import { atExit } from './temporary_files.js';

/** Opens a file for random access. @throws CheckpointError if it cannot be opened */
export async function openFile(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
  const info = await handle.stat();
  if (!info.isFile()) {
    await handle.close();
    throw new CheckpointError(`${path}: expected a file, found something else`);
  }
  return {
    name: path,
    size: info.size,
    async read(start, length) {
      checkRange(path, info.size, start, length);
      return readFully(handle, path, start, length).catch((error: unknown) => {
        throw systemCode(error) === undefined ? error : unreadable(path, error);
      });
    },
    close: () => handle.close(),
  };
}

/** One read call returns at most 2 GiB, and on some file systems fewer bytes than requested. */
const MAX_READ = 1 << 30;

async function readFully(
  handle: FileHandle,
  path: string,
  start: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const want = Math.min(length - done, MAX_READ);
    const { bytesRead } = await handle.read(bytes, done, want, start + done);
    if (bytesRead === 0) {
      throw new CheckpointError(
        `${path}: ended at byte ${start + done}; the file was truncated while it was read`,
      );
    }
    done += bytesRead;
  }
  return bytes;
}

/** Reads and parses a JSON file, Python's Infinity included. `expected` as in readTextFile. @throws CheckpointError */
export async function readJsonFile(path: string, expected?: string): Promise<unknown> {
  const text = await readTextFile(path, expected);
  try {
    return parseJson(text);
  } catch (error) {
    throw new CheckpointError(
      `${path}: not JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/**
 * Reads a UTF-8 file.
 *
 * @param expected what the error of a missing file says was expected in its place. Default: nothing
 * @throws CheckpointError
 */
export async function readTextFile(path: string, expected?: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw unreadable(path, error, expected);
  });
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}

export async function folderExists(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/**
 * Writes a file piece by piece under a temporary name and renames it when it is complete. If that fails, an
 * existing file stays unchanged.
 *
 * @throws FileError naming the file
 */
export async function writeFileAtomically(
  path: string,
  write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  try {
    makeFolder(dirname(path));
    await writeAndRename(path, write);
  } catch (error) {
    throw fileError(path, 'written', error);
  }
}

async function writeAndRename(
  path: string,
  write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  const release = atExit(() => rmSync(temporary, { force: true }));
  try {
    const handle = await open(temporary, 'wx');
    try {
      await write(async (bytes) => {
        for (let done = 0; done < bytes.byteLength; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
          done += bytesWritten;
        }
      });
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    release();
  }
}

/** Copies a file completely or not at all. Does nothing if source and target are the same file. */
export async function copyFileAtomically(from: string, to: string): Promise<void> {
  if (resolve(from) === resolve(to)) return;
  const bytes = await readFile(from).catch((error: unknown) => {
    throw fileError(from, 'read', error);
  });
  await writeFileAtomically(to, (put) => put(bytes));
}

function unreadable(path: string, error: unknown, expected?: string): CheckpointError {
  const isMissing = systemCode(error) === 'ENOENT';
  const missing = expected === undefined ? 'no such file' : `no such file; expected ${expected}`;
  const why = isMissing ? missing : `cannot be read: ${systemReason(error)}`;
  return new CheckpointError(`${path}: ${why}`, undefined, { cause: error });
}
