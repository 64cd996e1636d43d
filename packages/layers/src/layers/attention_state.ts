// AttentionState: the KV cache of an attention layer.
import * as tf from '@tensorflow/tfjs-core';
import { grownKvCache, kvCacheBytes, kvCacheFormatOf, kvCacheShapeOf } from '../kv_cache.js';
import type { LayerState, StoredTensor } from './layer.js';
import { sameKind } from './stored_state.js';

/**
 * KV cache of the last tokens. It grows up to the window. It is f32 with f32 weights and on backends
 * without bf16 caches, else bf16; `kvCacheValues` reads both.
 */
export class AttentionState implements LayerState {
  /** The caches at the mark. */
  private marked: { k: tf.Tensor; v: tf.Tensor; seen: readonly number[] } | undefined;

  constructor(
    private cacheK: tf.Tensor,
    private cacheV: tf.Tensor,
    private seen: readonly number[],
  ) {
    tf.keep(cacheK);
    tf.keep(cacheV);
  }

  /**
   * (B, capacity, numHeadsKv, headDim), with position t at slot t mod capacity; bf16 values are stored in
   * pairs, int32 (B, numHeadsKv, capacity, headDim / 2).
   */
  get k(): tf.Tensor {
    return this.cacheK;
  }

  /** The values, in k's layout. */
  get v(): tf.Tensor {
    return this.cacheV;
  }

  /** Tokens seen by each row. */
  get positions(): readonly number[] {
    return this.seen;
  }

  mark(): number {
    this.unmark();
    const [k, v] = [tf.keep(tf.clone(this.cacheK)), tf.keep(tf.clone(this.cacheV))];
    this.marked = { k, v, seen: this.seen };
    // More tokens might overwrite each other's slots.
    return kvCacheShapeOf(k)[1];
  }

  rewind(tokens: number): void {
    const { marked } = this;
    if (!marked) return;
    const [first = 0] = marked.seen;
    const [last = 0] = this.seen;
    const [, capacity] = kvCacheShapeOf(this.cacheK);
    // Nothing to restore: no token was rejected, or the cache has not wrapped.
    if (first + tokens === last || last <= capacity) {
      this.seen = marked.seen.map((position) => position + tokens);
    } else {
      // The rejected tokens have overwritten older ones, which are within the window again.
      const slots = { from: first + tokens, to: last };
      const restored = (after: tf.Tensor, before: tf.Tensor) =>
        tf.tidy(() => withOldSlots(after, before, slots));
      const [k, v] = [restored(this.cacheK, marked.k), restored(this.cacheV, marked.v)];
      this.replace(
        k,
        v,
        marked.seen.map((position) => position + tokens),
      );
    }
    this.unmark();
  }

  private unmark(): void {
    this.marked?.k.dispose();
    this.marked?.v.dispose();
    this.marked = undefined;
  }

  /** Takes ownership of these tensors and frees the old ones. */
  replace(k: tf.Tensor, v: tf.Tensor, positions: readonly number[]): void {
    tf.keep(k);
    tf.keep(v);
    this.cacheK.dispose();
    this.cacheV.dispose();
    this.cacheK = k;
    this.cacheV = v;
    this.seen = positions;
  }

  get form(): string {
    const [, , heads, dim] = kvCacheShapeOf(this.cacheK);
    const format = kvCacheFormatOf(this.cacheK) === 'bf16' ? ' bf16' : '';
    return `k${format} [${heads}, ${dim}], v${format} [${heads}, ${dim}]`;
  }

  save(): StoredTensor[] {
    return Object.entries({ k: this.cacheK, v: this.cacheV }).map(([name, cache]) => ({
      name,
      dtype: kvCacheFormatOf(cache) === 'bf16' ? 'BF16' : 'F32',
      shape: kvCacheShapeOf(cache),
      bytes: () => kvCacheBytes(cache),
    }));
  }

  /** An independent copy. Memory is shared until one of them advances. */
  clone(): AttentionState {
    return new AttentionState(tf.clone(this.cacheK), tf.clone(this.cacheV), this.seen);
  }

  gather(rows: readonly number[]): AttentionState {
    const index = tf.tensor1d([...rows], 'int32');
    const state = new AttentionState(
      tf.gather(this.cacheK, index),
      tf.gather(this.cacheV, index),
      rows.map((row) => this.seen[row] ?? 0),
    );
    index.dispose();
    return state;
  }

  /** A cache below the window has not wrapped yet, so it is only extended. */
  concat(others: readonly LayerState[]): AttentionState {
    const states = [this, ...sameKind(AttentionState, others)];
    const capacity = Math.max(...states.map((s) => kvCacheShapeOf(s.k)[1]));
    const join = (caches: tf.Tensor[]) =>
      tf.tidy(() =>
        tf.concat(
          caches.map((cache) =>
            kvCacheShapeOf(cache)[1] === capacity ? cache : grownKvCache(cache, capacity),
          ),
        ),
      );
    return new AttentionState(
      join(states.map((s) => s.k)),
      join(states.map((s) => s.v)),
      states.flatMap((s) => s.positions),
    );
  }

  /** Frees its tensors. */
  dispose(): void {
    this.unmark();
    this.cacheK.dispose();
    this.cacheV.dispose();
  }
}

/** A cache that has wrapped, with the slots of the positions from `from` to `to` as they were before. */
function withOldSlots(
  after: tf.Tensor,
  before: tf.Tensor,
  slots: { from: number; to: number },
): tf.Tensor {
  const [, capacity] = kvCacheShapeOf(after);
  const old = before.shape[slotAxis(before)] === capacity ? before : grownKvCache(before, capacity);
  const axis = slotAxis(after);
  const count = slots.to - slots.from;
  const isOld = (slot: number) => (slot - (slots.from % capacity) + capacity) % capacity < count;
  const parts: tf.Tensor[] = [];
  for (let slot = 0; slot < capacity; ) {
    const source = isOld(slot) ? old : after;
    let end = slot + 1;
    while (end < capacity && isOld(end) === isOld(slot)) end++;
    const begin = after.shape.map((_, i) => (i === axis ? slot : 0));
    const size = after.shape.map((length, i) => (i === axis ? end - slot : length));
    parts.push(tf.slice(source, begin, size));
    slot = end;
  }
  return tf.concat(parts, axis);
}

/** The axis of a cache's tensor along which its slots are. */
function slotAxis(cache: tf.Tensor): number {
  return kvCacheFormatOf(cache) === 'bf16' ? 2 : 1;
}
