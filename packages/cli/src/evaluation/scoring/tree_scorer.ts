// Scores a prefix tree with a model: batches of nodes, each from its parent's state.

import { type CausalLM, RecurrentState } from '@rene-js/rene';
import { nextTurn } from '@rene-js/rene/internal';
import { type LogProb, logProbsOf } from './log_probs.js';
import type { Target, TreeNode } from './prefix_tree.js';
import type { SharedStates } from './shared_states.js';

/** The part of a model that scoring needs. */
export type ScoringModel = Pick<CausalLM, 'config' | 'forward' | 'initialState'>;

export interface TreeScorerOptions {
  /** Maximum batch size. */
  batchSize: number;
  /** Maximum number of logits in memory. Default: 32 M (128 MB). */
  maxLogits?: number | undefined;
  /** Called with the log-probability of each target, in a sequence's order. */
  onTarget(index: number, result: LogProb): void;
  /** Called after each forward with its number of tokens, and with the number that need none. */
  onTokens?: ((count: number, isKnown: boolean) => void) | undefined;
  /** States of earlier runs. */
  shared?: SharedStates | undefined;
  /** Stops between two forwards with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A node and the row of its parent's state. */
interface Branch {
  node: TreeNode;
  row: number;
  /** The tokens before it. */
  before: readonly number[];
}

/** A target and its row in the batch. */
interface RowTarget extends Target {
  row: number;
}

/** Maximum number of tokens per forward, over all rows. */
const MAX_TOKENS = 2048;
const MAX_LOGITS = 1 << 25;
/** Maximum ratio to which leaves are padded in a batch. */
const MAX_PADDING = 1.2;

export class TreeScorer {
  constructor(
    private readonly model: ScoringModel,
    private readonly options: TreeScorerOptions,
  ) {}

  /** Scores all targets of these trees. */
  async score(roots: readonly TreeNode[]): Promise<void> {
    await this.expand(
      roots.map((node) => ({ node, row: 0, before: [] })),
      undefined,
    );
  }

  /** @param parent the initial state, of one or more rows; none at the start of texts */
  private async expand(
    branches: readonly Branch[],
    parent: RecurrentState | undefined,
  ): Promise<void> {
    const sorted = branches.toSorted((a, b) => a.node.tokens.length - b.node.tokens.length);
    const leaves = sorted.filter(({ node }) => node.children.length === 0);
    for (const batch of this.batches(leaves, MAX_PADDING)) await this.scoreLeaves(batch, parent);
    const { shared } = this.options;
    const isShared = ({ node }: Branch) => shared?.accepts(node) ?? false;
    for (const branch of sorted.filter(isShared)) {
      await this.expandBelow([branch], await this.sharedState(branch, parent));
    }
    const inner = sorted.filter((one) => one.node.children.length > 0 && !isShared(one));
    for (const batch of this.batches(inner, Number.POSITIVE_INFINITY)) {
      await this.expandBelow(batch, await this.advanceInSteps(batch, parent));
    }
  }

  /** @param state after these branches; it is disposed */
  private async expandBelow(batch: readonly Branch[], state: RecurrentState): Promise<void> {
    try {
      const keepsIds = this.options.shared !== undefined;
      const children = batch.flatMap(({ node, before: ids }, row) => {
        const before = keepsIds ? [...ids, ...node.tokens] : [];
        return node.children.map((child) => ({ node: child, row, before }));
      });
      await this.expand(children, state);
    } finally {
      state.dispose();
    }
  }

  /** The state after a branch. It continues the longest state that an earlier run stored. */
  private async sharedState(branch: Branch, parent?: RecurrentState): Promise<RecurrentState> {
    const { shared, onTokens } = this.options;
    const { before, node } = branch;
    const ids = [...before, ...node.tokens];
    const found = await shared?.find(ids);
    if (found && found.tokens > before.length) {
      const { state, tokens } = found;
      onTokens?.(tokens - before.length, true);
      if (tokens === ids.length) return state;
      await this.feed([ids.slice(tokens)], state, []);
      await shared?.store(ids, state);
      return state;
    }
    found?.state.dispose();
    const state = await this.advanceInSteps([branch], parent);
    await shared?.store(ids, state);
    return state;
  }

  /** Sorted branches in batches whose longest is at most `spread` times the shortest. */
  private batches(branches: readonly Branch[], spread: number): Branch[][] {
    const batches: Branch[][] = [];
    let shortest = 0;
    for (const branch of branches) {
      const batch = batches.at(-1);
      const { length } = branch.node.tokens;
      if (batch && batch.length < this.options.batchSize && length <= shortest * spread + 2) {
        batch.push(branch);
      } else {
        batches.push([branch]);
        shortest = length;
      }
    }
    return batches;
  }

  /** Leaves need no state afterwards: shorter ones are padded, and the padding's results ignored. */
  private async scoreLeaves(batch: readonly Branch[], parent?: RecurrentState): Promise<void> {
    const length = batch.at(-1)?.node.tokens.length ?? 0;
    const rows = batch.map(({ node }) => [
      ...node.tokens,
      ...new Array<number>(length - node.tokens.length).fill(0),
    ]);
    const wanted = batch.flatMap(({ node }, row) => node.targets.map((t) => ({ ...t, row })));
    const isWhole = !parent && this.pieces(rows.length, length, wanted).length === 1;
    const state = isWhole ? undefined : this.startState(batch, parent);
    try {
      await this.feed(rows, state, wanted);
    } finally {
      state?.dispose();
    }
  }

  /**
   * Inner nodes end at their own last token, so a batch advances to the end of its shortest row, drops the
   * ended rows, and continues.
   *
   * @returns the state after each node, in the batch's order
   */
  private async advanceInSteps(
    batch: readonly Branch[],
    parent?: RecurrentState,
  ): Promise<RecurrentState> {
    const ended: RecurrentState[] = [];
    let state = this.startState(batch, parent);
    try {
      let done = 0;
      for (let first = 0; first < batch.length; ) {
        const going = batch.slice(first);
        const end = going[0]?.node.tokens.length ?? done;
        const rows = going.map(({ node }) => node.tokens.slice(done, end));
        const from = done;
        const wanted = going.flatMap(({ node }, row) =>
          node.targets
            .filter(({ position }) => position >= from && position < end)
            .map((t) => ({ ...t, row, position: t.position - from })),
        );
        await this.feed(rows, state, wanted);
        done = end;
        const next = batch.findIndex(({ node }) => node.tokens.length > end);
        if (next < 0) break;
        if (next > first) {
          ended.push(state.gather(range(0, next - first)));
          const rest = state.gather(range(next - first, going.length));
          state.dispose();
          state = rest;
        }
        first = next;
      }
      if (ended.length === 0) return state.clone();
      return RecurrentState.concat([...ended, state]);
    } finally {
      for (const part of [...ended, state]) part.dispose();
    }
  }

  private startState(batch: readonly Branch[], parent?: RecurrentState): RecurrentState {
    return parent
      ? parent.gather(batch.map(({ row }) => row))
      : this.model.initialState(batch.length);
  }

  /** Feeds rows of equal length and reports their targets. */
  private async feed(
    rows: readonly (readonly number[])[],
    state: RecurrentState | undefined,
    wanted: readonly RowTarget[],
  ): Promise<void> {
    const { model, options } = this;
    const length = rows[0]?.length ?? 0;
    for (const [start, end] of this.pieces(rows.length, length, wanted)) {
      options.signal?.throwIfAborted();
      const here = wanted.filter(({ position }) => position >= start && position < end);
      const places = here.map(({ row, position }) => row * (end - start) + position - start);
      // A document's choices may have several targets after one token.
      const logitsAt = [...new Set(places)];
      const logits = model.forward(
        rows.map((row) => row.slice(start, end)),
        { state, logitsAt },
      );
      options.onTokens?.(rows.length * (end - start), false);
      const rowOf = new Map(logitsAt.map((place, row) => [place, row]));
      const wantedHere = here.map(({ id }, i) => ({ row: rowOf.get(places[i] ?? -1) ?? -1, id }));
      const results = await logProbsOf(logits, wantedHere);
      for (const [i, { index }] of here.entries()) {
        const result = results[i];
        if (result) options.onTarget(index, result);
      }
      await nextTurn();
    }
  }

  /** Chunk lengths that bound the memory of activations and logits. */
  private pieces(
    rows: number,
    length: number,
    wanted: readonly RowTarget[],
  ): [start: number, end: number][] {
    const { maxLogits = MAX_LOGITS } = this.options;
    const mostTokens = Math.floor(MAX_TOKENS / rows);
    const mostWanted = Math.floor(maxLogits / this.model.config.paddedVocabSize);
    const wantedAt = new Array<number>(length).fill(0);
    for (const { position } of wanted) wantedAt[position] = (wantedAt[position] ?? 0) + 1;
    const pieces: [number, number][] = [];
    let start = 0;
    let count = 0;
    for (const [position, more] of wantedAt.entries()) {
      const isFull = position - start >= mostTokens || count + more > mostWanted;
      if (isFull && position > start) {
        pieces.push([start, position]);
        start = position;
        count = 0;
      }
      count += more;
    }
    return [...pieces, [start, length]];
  }
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}
