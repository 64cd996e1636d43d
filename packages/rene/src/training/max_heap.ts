// A binary max-heap.

export class MaxHeap<T> {
  private readonly items: T[] = [];

  /** @param compare positive if a comes out before b */
  constructor(private readonly compare: (a: T, b: T) => number) {}

  push(item: T): void {
    const { items } = this;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(at, parent)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  pop(): T | undefined {
    const { items } = this;
    const last = items.length - 1;
    if (last > 0) this.swap(0, last);
    const top = items.pop();
    for (let at = 0; ; ) {
      const child = 2 * at + 1;
      if (child >= items.length) return top;
      const larger =
        child + 1 < items.length && this.isBefore(child + 1, child) ? child + 1 : child;
      if (!this.isBefore(larger, at)) return top;
      this.swap(at, larger);
      at = larger;
    }
  }

  private isBefore(i: number, j: number): boolean {
    const a = this.items[i];
    const b = this.items[j];
    return a !== undefined && b !== undefined && this.compare(a, b) > 0;
  }

  private swap(i: number, j: number): void {
    const { items } = this;
    const a = items[i];
    const b = items[j];
    if (a === undefined || b === undefined) return;
    items[i] = b;
    items[j] = a;
  }
}
