// Files in the origin's private file system: a folder a file, in it a file a part.
import { type FileEntry, PART_BYTES, type PartStore, readEntry } from './part_store.js';

// The parts of the File System API that are used; Node's type declarations lack them.
interface DirectoryHandle {
  getDirectoryHandle(name: string, options?: { create: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { recursive: boolean }): Promise<void>;
  keys(): AsyncIterable<string>;
}
interface FileHandle {
  getFile(): Promise<Blob>;
  createWritable(): Promise<{ write(bytes: Uint8Array): Promise<void>; close(): Promise<void> }>;
  /** In workers. */
  createSyncAccessHandle?(options?: { mode: 'read-only' }): Promise<SyncAccessHandle>;
}
interface SyncAccessHandle {
  truncate(size: number): void;
  getSize(): number;
  read(bytes: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  close(): void;
}
export interface StorageManager {
  getDirectory(): Promise<DirectoryHandle>;
}

const FOLDER = 'rene-models';
const ENTRY = 'entry.json';

/** The store; undefined where the browser has none, or cannot write to it here. */
export async function opfsStore(storage: StorageManager): Promise<PartStore | undefined> {
  let root: DirectoryHandle;
  try {
    root = await (await storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
    const probe = await root.getFileHandle('probe', { create: true });
    if (!probe.createSyncAccessHandle && !probe.createWritable) return undefined;
  } catch {
    return undefined; // Private windows of some browsers refuse.
  }
  const folder = (key: string) => root.getDirectoryHandle(key, { create: true });
  const read = async (key: string, name: string): Promise<Blob | undefined> => {
    try {
      const handle = await (await root.getDirectoryHandle(key)).getFileHandle(name);
      return await handle.getFile();
    } catch (error) {
      if (error instanceof Error && error.name === 'NotFoundError') return undefined;
      throw error;
    }
  };
  const write = async (key: string, name: string, bytes: Uint8Array<ArrayBuffer>) => {
    const dir = await folder(key);
    const handle = await dir.getFileHandle(name, { create: true });
    if (!handle.createSyncAccessHandle) {
      const writable = await handle.createWritable();
      await writable.write(bytes);
      await writable.close();
      return;
    }
    const access = await handle.createSyncAccessHandle();
    try {
      access.truncate(0);
      // Where the storage is full, Chromium returns a large number, and others throw.
      if (access.write(bytes, { at: 0 }) !== bytes.length) throw quotaError();
      // A part counts as complete by its size, which could reach the disk before its bytes.
      access.flush();
    } finally {
      access.close();
    }
  };
  return {
    partBytes: PART_BYTES,
    async keys() {
      const keys: string[] = [];
      for await (const key of root.keys()) if (key !== 'probe') keys.push(key);
      return keys;
    },
    async entry(key) {
      return readEntry(await read(key, ENTRY));
    },
    setEntry: (key, entry) =>
      write(key, ENTRY, new TextEncoder().encode(JSON.stringify(entry satisfies FileEntry))),
    part: (key, index) => read(key, String(index)),
    setPart: (key, index, bytes) => write(key, String(index), bytes),
    async readPart(key, index, into) {
      let access: SyncAccessHandle | undefined;
      try {
        const handle = await (await root.getDirectoryHandle(key)).getFileHandle(String(index));
        access = await handle.createSyncAccessHandle?.({ mode: 'read-only' });
        const size = access?.read(into, { at: 0 });
        return size === access?.getSize() ? size : undefined;
      } catch {
        return undefined; // Another tab has it open, in browsers where only one may.
      } finally {
        access?.close();
      }
    },
    async remove(key) {
      await root.removeEntry(key, { recursive: true }).catch((error: unknown) => {
        if (!(error instanceof Error && error.name === 'NotFoundError')) throw error;
      });
    },
  };
}

function quotaError(): Error {
  const error = new Error('the storage is full');
  error.name = 'QuotaExceededError';
  return error;
}
