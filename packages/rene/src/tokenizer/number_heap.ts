// A binary min-heap of numbers.

export class NumberHeap {
  size = 0;
  private items = new Float64Array(1024);

  push(item: number): void {
    if (this.size === this.items.length) {
      const larger = new Float64Array(2 * this.size);
      larger.set(this.items);
      this.items = larger;
    }
    const { items } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] ?? 0;
      if (above <= item) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  /** The smallest number; -1 if the heap is empty. */
  pop(): number {
    if (this.size === 0) return -1;
    const { items } = this;
    const top = items[0] ?? -1;
    const size = --this.size;
    const last = items[size] ?? 0;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && (items[child + 1] ?? 0) < (items[child] ?? 0)) child++;
      const below = items[child] ?? 0;
      if (below >= last) break;
      items[at] = below;
      at = child;
    }
    items[at] = last;
    return top;
  }
}
