// States of prompts in files, which outlive the process. Node only.
import { createHash } from 'node:crypto';
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../checkpoint/make_folder.js';
import { openFile, writeFileAtomically } from '../checkpoint/node_files.js';
import { openSafetensors, writeSafetensors } from '../checkpoint/safetensors.js';
import { readF32, readI32, sizeOf, type TensorFile } from '../checkpoint/tensor_file.js';
import { fileError } from '../file_errors.js';
import { HostState, type HostTensor } from '../host_state.js';
import type { StateOwner } from '../state_owner.js';
import { RadixTree } from './radix_tree.js';

/** A state and the tokens that it covers. */
export interface StoredPrefix {
  readonly ids: readonly number[];
  readonly state: HostState;
  /** Logits of the next token, if known. */
  readonly logits: Float32Array | undefined;
}

interface IndexEntry {
  readonly path: string;
  readonly hasLogits: boolean;
}

const FORMAT = 'rene-prefix-1';
const EXTENSION = '.safetensors';
/** Age in milliseconds after which an incomplete file was left by a killed process. */
const ABANDONED = 3_600_000;

/**
 * Files of states: one folder for each model in a common folder, in which all files together take a bounded
 * number of bytes. Several processes can use it at once.
 */
export class PrefixFiles {
  private readonly index = new RadixTree<IndexEntry>();

  private constructor(
    private readonly root: string,
    private readonly model: string,
    private readonly owner: StateOwner,
    private readonly maxBytes: number,
  ) {}

  /**
   * Opens or creates the folder. Damaged files, and those of other models, are not used.
   *
   * @param root the common folder
   * @param model identifies the weights, their dtype and the backend: 1 to 64 letters, digits, _ and -
   * @param owner the model
   * @param maxBytes maximum size of all files
   * @throws FileError if the folder cannot be used
   */
  static async open(
    root: string,
    model: string,
    owner: StateOwner,
    maxBytes: number,
  ): Promise<PrefixFiles> {
    const files = new PrefixFiles(root, model, owner, maxBytes);
    try {
      makeFolder(files.dir);
      for (const name of await readdir(files.dir)) await files.addToIndex(join(files.dir, name));
    } catch (error) {
      throw fileError(root, 'read', error);
    }
    return files;
  }

  /** Length of the longest stored prefix of a prompt. */
  longest(prompt: readonly number[], needsLogits: boolean): number {
    return this.lookUp(prompt, needsLogits)?.length ?? 0;
  }

  /** Reads the longest stored prefix of a prompt. */
  async read(prompt: readonly number[], needsLogits: boolean): Promise<StoredPrefix | undefined> {
    for (;;) {
      const found = this.lookUp(prompt, needsLogits);
      if (!found) return undefined;
      const ids = prompt.slice(0, found.length);
      try {
        const stored = await this.readFile(found.path, ids);
        const now = new Date();
        await utimes(found.path, now, now).catch(() => {}); // used most recently
        return stored;
      } catch {
        // Removed by another process, or damaged.
        this.index.delete(ids);
        await rm(found.path, { force: true }).catch(() => {});
      }
    }
  }

  /** Writes a state, after the files that were used least recently are removed. @throws FileError */
  async write({ ids, state, logits }: StoredPrefix): Promise<void> {
    const path = join(this.dir, nameOf(ids));
    const tensors = [
      ...state.tensors().map(([name, tensor]) => toWrite(name, tensor)),
      toWrite('ids', { dtype: 'I32', shape: [ids.length], bytes: bytesOf(Int32Array.from(ids)) }),
      ...(logits
        ? [toWrite('logits', { dtype: 'F32', shape: [logits.length], bytes: bytesOf(logits) })]
        : []),
    ];
    const size = tensors.reduce((sum, { bytes }) => sum + bytes().byteLength, 0);
    if (size > this.maxBytes) return;
    await this.makeRoom(size);
    const metadata = { format: FORMAT, model: this.model };
    await writeFileAtomically(path, (put) => writeSafetensors(tensors, metadata, put));
    this.index.set(ids, { path, hasLogits: logits !== undefined });
  }

  /** Whether there is a file of exactly these ids. */
  has(ids: readonly number[], needsLogits: boolean): boolean {
    return this.longest(ids, needsLogits) === ids.length;
  }

  private get dir(): string {
    return join(this.root, this.model);
  }

  private lookUp(prompt: readonly number[], needsLogits: boolean) {
    let length = 0;
    const entry = this.index.find(prompt, ({ hasLogits }, at) => {
      if (needsLogits && at === prompt.length && !hasLogits) return false;
      length = at;
      return true;
    });
    return entry && { path: entry.path, length };
  }

  private async addToIndex(path: string): Promise<void> {
    if (!path.endsWith(EXTENSION)) return;
    await using(path, async (file) => {
      this.check(file);
      const ids = [...(await readI32(file, 'ids'))];
      this.index.set(ids, { path, hasLogits: file.tensors.has('logits') });
    }).catch(() => rm(path, { force: true })); // damaged, or of another version
  }

  private check({ metadata }: TensorFile): void {
    if (metadata.get('format') !== FORMAT || metadata.get('model') !== this.model) {
      throw new Error('the state of another model');
    }
  }

  private readFile(path: string, ids: readonly number[]): Promise<StoredPrefix> {
    return using(path, async (file) => {
      this.check(file);
      const stored = await readI32(file, 'ids');
      if (stored.length !== ids.length || ids.some((id, i) => stored[i] !== id)) {
        throw new Error('the state of other tokens');
      }
      const tensors: [string, HostTensor][] = [];
      for (const [name, { dtype, shape }] of file.tensors) {
        if (name === 'ids' || name === 'logits' || (dtype !== 'F32' && dtype !== 'BF16')) continue;
        const bytes = await file.read(name, 0, sizeOf(shape) * (dtype === 'F32' ? 4 : 2));
        tensors.push([name, { dtype, shape, bytes }]);
      }
      const logits = file.tensors.has('logits') ? await readF32(file, 'logits') : undefined;
      const state = HostState.fromTensors(tensors, [ids.length], this.owner);
      return { ids, state, logits };
    });
  }

  /** Removes the files that were used least recently, of all models. */
  private async makeRoom(bytes: number): Promise<void> {
    const all = await this.allFiles();
    let total = bytes + all.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of all.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.maxBytes) return;
      await rm(path, { force: true }); // read() notices
      total -= size;
    }
  }

  private async allFiles() {
    const folders = await readdir(this.root); // Node 20.0 has no recursive readdir
    const paths: string[] = [];
    for (const folder of folders.map((name) => join(this.root, name))) {
      const names = await readdir(folder).catch(() => []); // a file of somebody else
      paths.push(...names.map((name) => join(folder, name)));
    }
    const files: { path: string; size: number; mtimeMs: number }[] = [];
    for (const path of paths) {
      const info = await stat(path).catch(() => undefined); // another process removed it
      if (!info?.isFile()) continue;
      const { size, mtimeMs } = info;
      if (path.endsWith(EXTENSION)) files.push({ path, size, mtimeMs });
      else if (path.endsWith('.tmp') && Date.now() - mtimeMs > ABANDONED) {
        await rm(path, { force: true });
      }
    }
    return files;
  }
}

async function using<T>(path: string, use: (file: TensorFile) => Promise<T>): Promise<T> {
  const file = await openSafetensors(await openFile(path));
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function nameOf(ids: readonly number[]): string {
  const hash = createHash('sha256').update(Int32Array.from(ids)).digest('hex');
  return `${hash.slice(0, 40)}${EXTENSION}`;
}

function bytesOf(values: Int32Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function toWrite(
  name: string,
  { dtype, shape, bytes }: { dtype: string; shape: readonly number[]; bytes: Uint8Array },
) {
  return { name, dtype, shape, bytes: () => bytes };
}
