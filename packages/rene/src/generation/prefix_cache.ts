// States of prompts that were read, so that what several prompts begin with is read once.
import { type HostState, toHost } from '../host_state.js';
import type { RecurrentState } from '../state.js';
import { PREFILL_CHUNK } from './prefill.js';
import { RadixTree } from './radix_tree.js';

interface Entry {
  readonly ids: readonly number[];
  readonly state: HostState;
  /** Logits of the next token, where they are known. */
  readonly logits: Float32Array | undefined;
}

/** How much of a prompt need not be read. */
export interface CachedPrefix {
  /** The state after its first tokens; the caller disposes it. */
  readonly state: RecurrentState;
  /** Their number. */
  readonly tokens: number;
  /** Logits of the next token, where they are known. They always are for a whole prompt. */
  readonly logits: Float32Array | undefined;
}

/** The states of one prompt take at most this share of the cache, so that others stay. */
const PROMPT_SHARE = 1 / 4;

/** Of one model. States are on the host, the least recently used are dropped first. */
export class PrefixCache {
  /** Bytes of its states. */
  usedBytes = 0;
  private readonly tree = new RadixTree<Entry>();
  /** Least recently used first. */
  private readonly entries = new Set<Entry>();

  /** @param maxBytes bytes that its states may take; 0 for a cache that holds nothing */
  constructor(private readonly maxBytes: number) {}

  get isOn(): boolean {
    return this.maxBytes > 0;
  }

  /** The longest known beginning of a prompt. */
  async find(prompt: readonly number[]): Promise<CachedPrefix | undefined> {
    const entry = this.tree.find(
      prompt,
      ({ logits }, length) => length < prompt.length || logits !== undefined,
    );
    if (!entry) return undefined;
    this.entries.delete(entry);
    this.entries.add(entry);
    const { ids, logits } = entry;
    return { state: await entry.state.restore(), tokens: ids.length, logits };
  }

  /** Which states of a prompt to store. Call it before the prompt is read. */
  plan(prompt: readonly number[], chunk = PREFILL_CHUNK): StoragePlan {
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
   * @param ids the tokens that the state has seen
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
    const bytes = bytesOf(entry);
    if (bytes > this.maxBytes) return;
    const before = this.tree.set(entry.ids, entry);
    if (before) this.forget(before);
    this.entries.add(entry);
    this.usedBytes += bytes;
    for (const oldest of this.entries) {
      if (this.usedBytes <= this.maxBytes) return;
      this.tree.delete(oldest.ids);
      this.forget(oldest);
    }
  }

  private forget(entry: Entry): void {
    this.entries.delete(entry);
    this.usedBytes -= bytesOf(entry);
  }
}

/** The positions of a prompt whose states are stored. */
export interface StoragePlan {
  /** The last end of a part up to which another prompt is the same: a third one may part there too. */
  readonly branch: number;
  /** Multiples of it. */
  readonly stride: number;
  /** The prompt's end. */
  readonly end: number;
}

/** Whether the state after so many tokens is to be stored. */
export function isStored({ branch, stride, end }: StoragePlan, position: number): boolean {
  return position === branch || position % stride === 0 || position === end;
}

function bytesOf({ ids, state, logits }: Entry): number {
  return state.byteLength + 8 * ids.length + (logits?.byteLength ?? 0);
}
