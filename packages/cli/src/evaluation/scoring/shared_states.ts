// States of contexts that many texts share, such as few-shot examples, kept for later runs.
import type { RecurrentState } from '@rene-js/rene';
import { type PrefixFiles, toHost } from '@rene-js/rene/internal';
import type { TreeNode } from './prefix_tree.js';

/** Minimum number of tokens of a node, and of texts below it, for its state to be kept. */
const MIN_TOKENS = 64;
const MIN_TEXTS = 8;

export class SharedStates {
  constructor(
    private readonly files: PrefixFiles,
    /** Called when a file cannot be written. */
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Whether a node's state is kept. Nothing is scored within such a node. */
  accepts(node: TreeNode): boolean {
    return (
      node.tokens.length >= MIN_TOKENS && node.targets.length === 0 && hasTexts(node, MIN_TEXTS)
    );
  }

  /** The state after the longest known prefix of some tokens; the caller disposes it. */
  async find(
    ids: readonly number[],
  ): Promise<{ state: RecurrentState; tokens: number } | undefined> {
    const stored = await this.files.read(ids, false);
    return stored && { state: await stored.state.restore(), tokens: stored.ids.length };
  }

  async store(ids: readonly number[], state: RecurrentState): Promise<void> {
    const copy = await toHost(state);
    await this.files.write({ ids, state: copy, logits: undefined }).catch(this.onError);
  }
}

function hasTexts(node: TreeNode, count: number): boolean {
  let left = count;
  const visit = ({ children }: TreeNode): boolean =>
    children.length === 0 ? --left <= 0 : children.some(visit);
  return visit(node);
}
