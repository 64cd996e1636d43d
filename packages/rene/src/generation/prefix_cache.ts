// Prefix cache: states of prompts, so that a common prefix of several prompts is computed once.
import { toHost } from '../host_state.js';
import type { RecurrentState } from '../state.js';
import { PREFILL_CHUNK } from './prefill.js';
import type { PrefixFiles, StoredPrefix } from './prefix_files.js';
import { RadixTree } from './radix_tree.js';
import type { TokenLogProb } from './sampler.js';

interface Entry extends StoredPrefix {
  readonly logProbs?: PrefixLogProbs | undefined;
}

/** Log-probabilities of the tokens of a prefix. */
export interface PrefixLogProbs {
  /** Number of top tokens listed for each token. */
  readonly top: number;
  /** One for each token; null for the first. */
  readonly values: readonly (TokenLogProb | null)[];
}

/** The part of a prompt that is cached. */
export interface CachedPrefix {
  /** The state after the prefix. The caller disposes it. */
  readonly state: RecurrentState;
  /** Length of the prefix. */
  readonly tokens: number;
  /** Logits of the next token, if known. They are always known for a whole prompt. */
  readonly logits: Float32Array | undefined;
  /** Log-probabilities of its tokens, if requested. */
  readonly logProbs: readonly (TokenLogProb | null)[] | undefined;
}

/** Maximum share of the cache for the states of one prompt, so that other prompts stay cached. */
const PROMPT_SHARE = 1 / 4;

/** A position between chunk borders is stored if that saves a third prompt this many tokens. */
const MIN_SAVED = 16;

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

  /**
   * The longest cached prefix of a prompt.
   *
   * @param top also return the log-probabilities of its tokens, with this many top tokens each. Files hold none.
   */
  async find(prompt: readonly number[], top?: number): Promise<CachedPrefix | undefined> {
    const known = this.tree.find(prompt, ({ logits, logProbs }, length) => {
      if (top === undefined) return length < prompt.length || logits !== undefined;
      return logits !== undefined && logProbs !== undefined && logProbs.top >= top;
    });
    const stored =
      top === undefined ? await this.readLonger(prompt, known?.ids.length ?? 0) : undefined;
    const entry = stored ?? known;
    if (!entry) return undefined;
    if (entry === stored) this.insert(entry);
    else {
      this.entries.delete(entry);
      this.entries.add(entry);
    }
    const { ids, logits } = entry;
    const logProbs = top === undefined ? undefined : entry.logProbs?.values.map(withTop(top));
    return { state: await entry.state.restore(), tokens: ids.length, logits, logProbs };
  }

  /**
   * Positions at which to store states of a prompt. Call it before prefill.
   *
   * @param end the last of them. Default: the prompt's length.
   */
  plan(
    prompt: readonly number[],
    chunk: number = PREFILL_CHUNK.alone,
    end: number = prompt.length,
  ): StoragePlan {
    if (!this.isOn) return { branch: 0, stride: Number.POSITIVE_INFINITY, end: prompt.length };
    const [any] = this.entries;
    const chunks = Math.ceil(prompt.length / chunk);
    const fitting = (this.maxBytes * PROMPT_SHARE) / (any?.state.byteLength ?? 1);
    const shared = this.tree.sharedLength(prompt);
    const border = chunk * Math.floor(shared / chunk);
    return {
      branch: shared - border >= MIN_SAVED ? shared : border,
      stride: chunk * Math.max(1, Math.ceil(chunks / Math.max(1, fitting))),
      end,
    };
  }

  /**
   * Stores a copy of a state.
   *
   * @param ids the tokens that the state covers
   * @param logits of the next token
   * @param logProbs of the tokens
   */
  async store(
    ids: readonly number[],
    state: RecurrentState,
    logits?: Float32Array | undefined,
    logProbs?: PrefixLogProbs | undefined,
  ): Promise<void> {
    if (!this.isOn || ids.length === 0) return;
    const host = await toHost(state);
    const before = this.tree.find(ids, (_, length) => length === ids.length)?.logProbs;
    const best = before && before.top >= (logProbs?.top ?? 0) ? before : logProbs;
    this.insert({ ids: [...ids], state: host, logits: logits?.slice(), logProbs: best });
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
  /** The end of the prefix shared with another prompt, or the chunk border before it. A third prompt may branch there too. */
  readonly branch: number;
  /** Multiples of it. */
  readonly stride: number;
  /** The prompt's end, or a position before it. */
  readonly end: number;
}

/** Whether to store the state at this position. */
export function isStored({ branch, stride, end }: StoragePlan, position: number): boolean {
  return position === branch || position % stride === 0 || position === end;
}

/** The last position up to this one at which a state is stored; 0 if there is none. */
export function lastStored({ branch, stride, end }: StoragePlan, position: number): number {
  const border = Number.isFinite(stride) ? stride * Math.floor(position / stride) : 0;
  return Math.max(border, ...[branch, end].filter((at) => at <= position));
}

/** The end of the next part of a prompt, so that prefill stops where a state is stored. */
export function nextStop({ branch, end }: StoragePlan, position: number, length: number): number {
  return Math.min(...[branch, end, length].filter((stop) => stop > position));
}

function bytesOf({ ids, state, logits, logProbs }: Entry): number {
  const perToken = 8 + (logProbs ? LOG_PROB_BYTES * (1 + logProbs.top) : 0);
  return state.byteLength + perToken * ids.length + (logits?.byteLength ?? 0);
}

/** Of a log-probability in memory, about. */
const LOG_PROB_BYTES = 48;

/** Lists fewer top tokens. */
function withTop(count: number): (value: TokenLogProb | null) => TokenLogProb | null {
  return (value) =>
    value && value.top.length > count ? { ...value, top: value.top.slice(0, count) } : value;
}
