// Texts that begin alike, as a tree: what they share is a node, and is read by the model only once.

/** A text to be scored. */
export interface Sequence {
  /** Which of the caller's requests it is. */
  index: number;
  /** At least two tokens. The last one is predicted, never fed. */
  ids: readonly number[];
  /** How many of the last tokens are scored. */
  scored: number;
}

/** A token whose probability is wanted after a token of a node. */
export interface Target {
  /** Place in the node's tokens. */
  position: number;
  /** The token that comes next. */
  id: number;
  /** Index of the sequence that asks. */
  index: number;
}

export interface TreeNode {
  /** Fed after those of the node's ancestors; at least one. */
  tokens: readonly number[];
  children: TreeNode[];
  targets: Target[];
}

/**
 * Tokens shared by some texts become a node of their own if there are so many at least; a node
 * costs a copy of the state for each child, and a smaller batch.
 */
export const MIN_SHARED_TOKENS = 6;

/**
 * The tree of some sequences, its first nodes.
 *
 * @param minShared see MIN_SHARED_TOKENS; Infinity for one node a sequence
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

/** @param start tokens that ancestors feed */
function build(sequences: readonly Sequence[], start: number, minShared: number): TreeNode[] {
  const [first] = sequences;
  const last = sequences.at(-1);
  if (!first || !last) return [];
  // Of sorted sequences the first and the last have least in common.
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

/** Sorted sequences by the token at a place; those that end before it are a part too, the first. */
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

/** How many fed tokens two sequences begin with alike. */
function commonLength(a: Sequence, b: Sequence): number {
  const limit = Math.min(fedLength(a), fedLength(b));
  for (let i = 0; i < limit; i++) if (a.ids[i] !== b.ids[i]) return i;
  return limit;
}

function compareIds(a: readonly number[], b: readonly number[]): number {
  // The last token is not fed: sequences that differ in it only are neighbours anyway.
  const limit = Math.min(a.length, b.length) - 1;
  for (let i = 0; i < limit; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Tokens that the model is fed for a tree. */
export function fedTokens(nodes: readonly TreeNode[]): number {
  return nodes.reduce((sum, node) => sum + node.tokens.length + fedTokens(node.children), 0);
}
