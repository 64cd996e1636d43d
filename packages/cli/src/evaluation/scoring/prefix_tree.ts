// A prefix tree of texts: a common prefix is a node, which the model processes once.

/** A text to score. */
export interface Sequence {
  /** Index of the request. */
  index: number;
  /** At least two tokens. The last one is predicted, not fed. */
  ids: readonly number[];
  /** Number of final tokens to score. */
  scored: number;
}

/** A token to score after a token of a node. */
export interface Target {
  /** Index of that token in the node. */
  position: number;
  /** The token to score. */
  id: number;
  /** Index of its sequence. */
  index: number;
}

export interface TreeNode {
  /** Fed after the tokens of the node's ancestors; at least one. */
  tokens: readonly number[];
  children: TreeNode[];
  targets: Target[];
}

/**
 * Minimum number of shared tokens for a node: a node costs a copy of the state for each child, and a
 * smaller batch.
 */
export const MIN_SHARED_TOKENS = 6;

/**
 * The prefix tree of some sequences; returns its roots.
 *
 * @param minShared see MIN_SHARED_TOKENS; Infinity for one node per sequence
 */
export function prefixTree(
  sequences: readonly Sequence[],
  minShared = MIN_SHARED_TOKENS,
): TreeNode[] {
  const sorted = sequences.toSorted((a, b) => compareIds(a.ids, b.ids));
  return minShared === Number.POSITIVE_INFINITY
    ? sorted.map((sequence) => leaf([sequence], 0))
    : build(sorted, 0, minShared);
}

/** @param start number of tokens in the ancestors */
function build(sequences: readonly Sequence[], start: number, minShared: number): TreeNode[] {
  const [first] = sequences;
  const last = sequences.at(-1);
  if (!first || !last) return [];
  // Of sorted sequences the first and the last have the shortest common prefix.
  const end = commonLength(first, last);
  if (end === fedLength(first) && end === fedLength(last)) return [leaf(sequences, start)];
  const parts = partition(sequences, end);
  const ending = parts.filter(([part]) => part && fedLength(part) === end);
  if (end - start < minShared) return parts.flatMap((part) => build(part, start, minShared));
  const going = parts.filter((part) => !ending.includes(part));
  return [
    {
      tokens: first.ids.slice(start, end),
      children: going.flatMap((part) => build(part, end, minShared)),
      targets: targetsWithin(sequences, start, end),
    },
  ];
}

function leaf(sequences: readonly Sequence[], start: number): TreeNode {
  const [first] = sequences;
  const end = first ? fedLength(first) : start;
  return {
    tokens: first?.ids.slice(start, end) ?? [],
    children: [],
    targets: targetsWithin(sequences, start, end),
  };
}

function targetsWithin(sequences: readonly Sequence[], start: number, end: number): Target[] {
  return sequences.flatMap(({ ids, scored, index }) => {
    const from = Math.max(start, ids.length - 1 - scored);
    const to = Math.min(end, ids.length - 1);
    return Array.from({ length: Math.max(0, to - from) }, (_, i) => ({
      position: from + i - start,
      id: ids[from + i + 1] ?? 0,
      index,
    }));
  });
}

/** Groups sorted sequences by their token at a position; those that end before it are the first group. */
function partition(sequences: readonly Sequence[], at: number): Sequence[][] {
  const parts = new Map<number, Sequence[]>();
  for (const sequence of sequences) {
    const key = at < fedLength(sequence) ? (sequence.ids[at] ?? -1) : -1;
    const part = parts.get(key);
    if (part) part.push(sequence);
    else parts.set(key, [sequence]);
  }
  return [...parts.values()];
}

function fedLength({ ids }: Sequence): number {
  return ids.length - 1;
}

/** Length of the common prefix of two sequences' fed tokens. */
function commonLength(a: Sequence, b: Sequence): number {
  const limit = Math.min(fedLength(a), fedLength(b));
  for (let i = 0; i < limit; i++) if (a.ids[i] !== b.ids[i]) return i;
  return limit;
}

function compareIds(a: readonly number[], b: readonly number[]): number {
  // The last token is not fed; sequences that differ only in it are adjacent anyway.
  const limit = Math.min(a.length, b.length) - 1;
  for (let i = 0; i < limit; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Number of fed tokens of a tree. */
export function fedTokens(nodes: readonly TreeNode[]): number {
  return nodes.reduce((sum, node) => sum + node.tokens.length + fedTokens(node.children), 0);
}
