// Prefix cache: states of prompts, so that a common prefix of several prompts is computed once.
import { toHost } from '../host_state.js';
import type { RecurrentState } from '../state.js';
import { PREFILL_CHUNK } from './prefill.js';
import type { PrefixFiles, StoredPrefix } from './prefix_files.js';
import { RadixTree } from './radix_tree.js';

type Entry = StoredPrefix;

/** The part of a prompt that is cached. */
export interface CachedPrefix {
  /** The state after the prefix. The caller disposes it. */
  readonly state: RecurrentState;
  /** Length of the prefix. */
  readonly tokens: number;
  /** Logits of the next token, if known. They are always known for a whole prompt. */
  readonly logits: Float32Array | undefined;
}

/** Maximum share of the cache for the states of one prompt, so that other prompts stay cached. */
const PROMPT_SHARE = 1 / 4;

/** Maximum number of states that wait to be written: they are in memory beyond its bound. */
const MAX_WAITING = 4;

/** The cache of one model. States are in host memory. The least recently used ones are dropped first. */
export class PrefixCache {
  /** Bytes of the states. */
  usedBytes = 0;
  private readonly tree = new RadixTree<Entry>();
  /** Least recently used first. */
  private readonly entries = new Set<Entry>();

  /** Ends when what was dropped from memory is in files. */
  private writing: Promise<void> = Promise.resolve();
  private waiting = 0;

  /**
   * @param maxBytes maximum size of the states in memory; 0 disables it
   * @param files take what is dropped from memory, and what is in memory at the end
   * @param onError called when a file cannot be written
   */
  constructor(
    private readonly maxBytes: number,
    private readonly files?: PrefixFiles | undefined,
    private readonly onError: (error: unknown) => void = () => {},
  ) {}

  get isOn(): boolean {
    return this.maxBytes > 0 || this.files !== undefined;
  }

  /** The longest cached prefix of a prompt. */
  async find(prompt: readonly number[]): Promise<CachedPrefix | undefined> {
    const known = this.tree.find(
      prompt,
      ({ logits }, length) => length < prompt.length || logits !== undefined,
    );
    const entry = (await this.readLonger(prompt, known?.ids.length ?? 0)) ?? known;
    if (!entry) return undefined;
    if (entry !== known) {
      this.insert(entry);
      return { state: await entry.state.restore(), tokens: entry.ids.length, logits: entry.logits };
    }
    this.entries.delete(entry);
    this.entries.add(entry);
    const { ids, logits } = entry;
    return { state: await entry.state.restore(), tokens: ids.length, logits };
  }

  /** Positions at which to store states of a prompt. Call it before prefill. */
  plan(prompt: readonly number[], chunk: number = PREFILL_CHUNK.alone): StoragePlan {
    const [any] = this.entries;
    const chunks = Math.ceil(prompt.length / chunk);
    const fitting = (this.maxBytes * PROMPT_SHARE) / (any?.state.byteLength ?? 1);
    return {
      branch: chunk * Math.floor(this.tree.sharedLength(prompt) / chunk),
      stride: chunk * Math.max(1, Math.ceil(chunks / Math.max(1, fitting))),
      end: prompt.length,
    };
  }

  /**
   * Stores a copy of a state.
   *
   * @param ids the tokens that the state covers
   * @param logits of the next token
   */
  async store(
    ids: readonly number[],
    state: RecurrentState,
    logits?: Float32Array | undefined,
  ): Promise<void> {
    if (!this.isOn || ids.length === 0) return;
    const host = await toHost(state);
    const entry = { ids: [...ids], state: host, logits: logits?.slice() };
    this.insert(entry);
  }

  /** Writes what is in memory to files. Call it before the process ends. */
  async flush(): Promise<void> {
    for (const entry of this.entries) this.spill(entry, Number.POSITIVE_INFINITY);
    await this.writing;
  }

  /** From files, where they hold a longer prefix than memory. */
  private async readLonger(prompt: readonly number[], length: number): Promise<Entry | undefined> {
    const { files } = this;
    if (!files || files.longest(prompt, true) <= length) return undefined;
    const stored = await files.read(prompt, true);
    return stored && stored.ids.length > length ? stored : undefined;
  }

  private insert(entry: Entry): void {
    const bytes = bytesOf(entry);
    if (bytes > this.maxBytes) {
      this.spill(entry);
      return;
    }
    const before = this.tree.set(entry.ids, entry);
    if (before) this.forget(before);
    this.entries.add(entry);
    this.usedBytes += bytes;
    for (const oldest of this.entries) {
      if (this.usedBytes <= this.maxBytes) return;
      this.tree.delete(oldest.ids);
      this.forget(oldest);
      this.spill(oldest);
    }
  }

  /** Writes an entry in the background, unless the disk is too slow. */
  private spill(entry: Entry, maxWaiting = MAX_WAITING): void {
    const { files } = this;
    if (!files || files.has(entry.ids, entry.logits !== undefined)) return;
    if (this.waiting >= maxWaiting) return;
    this.waiting++;
    this.writing = this.writing
      .then(() => files.write(entry))
      .catch(this.onError)
      .finally(() => {
        this.waiting--;
      });
  }

  private forget(entry: Entry): void {
    this.entries.delete(entry);
    this.usedBytes -= bytesOf(entry);
  }
}

/** Positions of a prompt at which states are stored. */
export interface StoragePlan {
  /**
   * The last chunk border within the prefix shared with another prompt: a third prompt may branch there
   * too.
   */
  readonly branch: number;
  /** Multiples of it. */
  readonly stride: number;
  /** The prompt's end. */
  readonly end: number;
}

/** Whether to store the state at this position. */
export function isStored({ branch, stride, end }: StoragePlan, position: number): boolean {
  return position === branch || position % stride === 0 || position === end;
}

function bytesOf({ ids, state, logits }: Entry): number {
  return state.byteLength + 8 * ids.length + (logits?.byteLength ?? 0);
}
