// A hash table from pairs of integers to integers in typed arrays: several times faster than a Map.

/** Keys are two integers from 0 to 2^31 - 1, values integers from 0. */
export class PairTable {
  private firsts = new Int32Array(MIN_CAPACITY).fill(-1);
  private seconds = new Int32Array(MIN_CAPACITY);
  private values = new Int32Array(MIN_CAPACITY);
  private size = 0;

  /** The value of a pair; -1 if it is missing. */
  get(first: number, second: number): number {
    const slot = this.slot(first, second);
    return this.firsts[slot] === -1 ? -1 : (this.values[slot] ?? -1);
  }

  set(first: number, second: number, value: number): void {
    if (2 * this.size >= this.firsts.length) this.grow();
    const slot = this.slot(first, second);
    if (this.firsts[slot] === -1) this.size++;
    this.firsts[slot] = first;
    this.seconds[slot] = second;
    this.values[slot] = value;
  }

  /** The slot of a pair, or the one where it would be. */
  private slot(first: number, second: number): number {
    const { firsts, seconds } = this;
    const mask = firsts.length - 1;
    let hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    let slot = (hash ^ (hash >>> 13)) & mask;
    while (firsts[slot] !== -1 && (firsts[slot] !== first || seconds[slot] !== second)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  private grow(): void {
    const { firsts, seconds, values } = this;
    this.firsts = new Int32Array(2 * firsts.length).fill(-1);
    this.seconds = new Int32Array(2 * firsts.length);
    this.values = new Int32Array(2 * firsts.length);
    this.size = 0;
    firsts.forEach((first, slot) => {
      if (first !== -1) this.set(first, seconds[slot] ?? 0, values[slot] ?? 0);
    });
  }
}

const MIN_CAPACITY = 1024;
