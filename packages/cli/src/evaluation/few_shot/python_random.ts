// Python's random.Random: the Mersenne Twister MT19937 with the seeding and sampling of CPython.

const STATE_WORDS = 624;
const SHIFT_WORDS = 397;
const UPPER_BIT = 0x80000000;
const LOWER_BITS = 0x7fffffff;
const TWIST = 0x9908b0df;

/** Draws the same values as `random.Random(seed)` of Python 3.11 and later. */
export class PythonRandom {
  private readonly state = new Uint32Array(STATE_WORDS);
  private next = STATE_WORDS;

  /** @param seed a safe integer; Python ignores its sign */
  constructor(seed: number) {
    const size = Math.abs(seed);
    const high = Math.floor(size / 2 ** 32);
    this.seedByArray(high === 0 ? [size] : [size >>> 0, high]);
  }

  /** `random.sample(items, count)`: distinct items in random order. At most `items.length`. */
  sample<T>(items: readonly T[], count: number): T[] {
    const places = this.samplePlaces(items.length, count);
    return places.flatMap((place) => items.slice(place, place + 1));
  }

  /** CPython copies small pools and tracks indices for large ones, so that the draws differ. */
  private samplePlaces(size: number, count: number): number[] {
    let poolLimit = 21;
    if (count > 5) poolLimit += 4 ** Math.ceil(Math.log(count * 3) / Math.log(4));
    const drawn: number[] = [];
    if (size <= poolLimit) {
      const pool = Array.from({ length: size }, (_, i) => i);
      for (let i = 0; i < count; i++) {
        const at = this.below(size - i);
        drawn.push(pool[at] ?? 0);
        pool[at] = pool[size - i - 1] ?? 0;
      }
      return drawn;
    }
    const known = new Set<number>();
    while (drawn.length < count) {
      const place = this.below(size);
      if (known.has(place)) continue;
      known.add(place);
      drawn.push(place);
    }
    return drawn;
  }

  /** An integer from 0 to limit - 1; limit from 1 to 2^32 - 1. */
  private below(limit: number): number {
    const bits = 32 - Math.clz32(limit);
    let value = this.word() >>> (32 - bits);
    while (value >= limit) value = this.word() >>> (32 - bits);
    return value;
  }

  /** The reference implementation's init_genrand. */
  private seedByNumber(seed: number): void {
    const { state } = this;
    state[0] = seed;
    for (let i = 1; i < STATE_WORDS; i++) {
      const before = state[i - 1] ?? 0;
      state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  /** The reference implementation's init_by_array. */
  private seedByArray(key: readonly number[]): void {
    const { state } = this;
    this.seedByNumber(19650218);
    let i = 1;
    const mix = (factor: number, more: number): void => {
      const before = state[i - 1] ?? 0;
      state[i] = ((state[i] ?? 0) ^ Math.imul(before ^ (before >>> 30), factor)) + more;
      i++;
      if (i < STATE_WORDS) return;
      state[0] = state[STATE_WORDS - 1] ?? 0;
      i = 1;
    };
    for (let step = 0; step < Math.max(STATE_WORDS, key.length); step++) {
      const at = step % key.length;
      mix(1664525, (key[at] ?? 0) + at);
    }
    for (let step = 1; step < STATE_WORDS; step++) mix(1566083941, -i);
    state[0] = UPPER_BIT;
  }

  private word(): number {
    if (this.next === STATE_WORDS) this.twist();
    let value = this.state[this.next++] ?? 0;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c5680;
    value ^= (value << 15) & 0xefc60000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  private twist(): void {
    const { state } = this;
    for (let i = 0; i < STATE_WORDS; i++) {
      const following = state[(i + 1) % STATE_WORDS] ?? 0;
      const mixed = ((state[i] ?? 0) & UPPER_BIT) | (following & LOWER_BITS);
      const shifted = state[(i + SHIFT_WORDS) % STATE_WORDS] ?? 0;
      state[i] = shifted ^ (mixed >>> 1) ^ (mixed & 1 ? TWIST : 0);
    }
    this.next = 0;
  }
}
