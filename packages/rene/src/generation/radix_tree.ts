// A radix tree: values keyed by sequences of token ids, with lookup by the longest common prefix.

interface Node<Value> {
  /** The ids on the edge from the parent. Empty for the root only. */
  ids: readonly number[];
  parent: Node<Value> | undefined;
  /** By the first of their ids. */
  readonly children: Map<number, Node<Value>>;
  value: Value | undefined;
}

export class RadixTree<Value extends object> {
  private readonly root: Node<Value> = newNode([], undefined);

  /** @returns the value of the longest prefix of `ids` that has a value that `accepts` accepts */
  find(
    ids: readonly number[],
    accepts: (value: Value, length: number) => boolean,
  ): Value | undefined {
    let found: Value | undefined;
    const { path } = this.walk(ids);
    let length = 0;
    for (const { ids: edge, value } of path) {
      length += edge.length;
      if (value && accepts(value, length)) found = value;
    }
    return found;
  }

  /** Length of the longest prefix that `ids` shares with a sequence in the tree. */
  sharedLength(ids: readonly number[]): number {
    const { length, partial } = this.walk(ids);
    return length + partial;
  }

  /** Sets the value at `ids`. @returns the value that it replaces */
  set(ids: readonly number[], value: Value): Value | undefined {
    const { path, length, partial, child } = this.walk(ids);
    let node = path.at(-1) ?? this.root;
    if (child && partial > 0) node = split(child, partial);
    const rest = ids.slice(length + partial);
    if (rest.length > 0) {
      const leaf = newNode<Value>(rest, node);
      node.children.set(rest[0] ?? 0, leaf);
      node = leaf;
    }
    const { value: before } = node;
    node.value = value;
    return before;
  }

  /** Removes the value at `ids`. */
  delete(ids: readonly number[]): void {
    const { path, length } = this.walk(ids);
    let node = path.at(-1);
    if (!node || length !== ids.length) return;
    node.value = undefined;
    while (node?.parent && !node.value && node.children.size === 0) {
      const { parent }: Node<Value> = node;
      parent.children.delete(node.ids[0] ?? 0);
      node = parent;
    }
    if (node) joinOnlyChild(node);
  }

  /**
   * The nodes from the root whose ids are a prefix of `ids`, the prefix length, and the child of the last
   * node that matches `partial` more ids, but not all of its own.
   */
  private walk(ids: readonly number[]) {
    const path: Node<Value>[] = [];
    let node = this.root;
    let length = 0;
    for (;;) {
      const child = node.children.get(ids[length] ?? -1);
      if (!child) return { path, length, partial: 0, child: undefined };
      const shared = commonLength(child.ids, ids, length);
      if (shared < child.ids.length) return { path, length, partial: shared, child };
      path.push(child);
      length += shared;
      node = child;
    }
  }
}

function newNode<Value>(ids: readonly number[], parent: Node<Value> | undefined): Node<Value> {
  return { ids, parent, children: new Map(), value: undefined };
}

/** Number of ids of `edge` that equal those of `ids` from `start` on. */
function commonLength(edge: readonly number[], ids: readonly number[], start: number): number {
  let length = 0;
  while (length < edge.length && edge[length] === ids[start + length]) length++;
  return length;
}

/** Splits the edge to `child`: a new node gets its first ids. */
function split<Value>(child: Node<Value>, length: number): Node<Value> {
  const { parent } = child;
  const middle = newNode(child.ids.slice(0, length), parent);
  parent?.children.set(child.ids[0] ?? 0, middle);
  child.ids = child.ids.slice(length);
  child.parent = middle;
  middle.children.set(child.ids[0] ?? 0, child);
  return middle;
}

/** Joins a node without a value with its only child. */
function joinOnlyChild<Value>(node: Node<Value>): void {
  const [only] = node.children.values();
  if (!node.parent || node.value || !only || node.children.size > 1) return;
  node.parent.children.set(node.ids[0] ?? 0, only);
  only.ids = [...node.ids, ...only.ids];
  only.parent = node.parent;
}
