// State updates of a pass over several tokens, made later, when it is known how many of the tokens count.
import type { Address } from './address.js';

/**
 * The updates of one pass, and memory for what they read: from a base on, in the order of allocation. Passes of
 * different lengths have the same addresses, so that their updates are the same.
 */
export class DeferredUpdates {
  private readonly updates: ((tokens: number) => void)[] = [];
  private top: Address;

  /**
   * @param tokens of the pass
   * @param capacity tokens of the longest pass
   */
  constructor(
    private readonly base: Address,
    private readonly tokens: number,
    private readonly capacity: number,
  ) {
    this.top = base;
  }

  /** @param bytes of all tokens of the pass, each as many */
  allocate(bytes: number): Address {
    const address = this.top;
    this.top += Math.ceil(((bytes / this.tokens) * this.capacity) / LINE) * LINE;
    return address;
  }

  /** Number of bytes that were allocated. */
  get bytes(): number {
    return this.top - this.base;
  }

  /** @param update advances a state by the first tokens of the pass */
  add(update: (tokens: number) => void): void {
    this.updates.push(update);
  }

  /** Advances all states by the first `tokens` tokens of the pass. */
  make(tokens: number): void {
    for (const update of this.updates) update(tokens);
  }
}

const LINE = 64;
