// slidingWindowAttention: causal attention to a window of tokens, with the keys and values in a ring.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, InvalidArgumentError } from '../errors.js';
import { grownRing, ringFormatOf, ringShapeOf, takesBf16Rings } from '../kv_ring.js';
import { output, runKernel } from '../registry.js';
import { checkInteger, ShapeChecker } from './checks.js';

/** Keys and values of the tokens seen so far: that of position t stands at slot t mod capacity. */
export interface KVRing {
  /** (B, capacity, Hkv, P); or bf16 numbers by twos, int32 (B, Hkv, capacity, P / 2). */
  k: tf.Tensor;
  /** Like k. */
  v: tf.Tensor;
  /** Tokens seen by each row of the batch. */
  positions: readonly number[];
}

/** Options of slidingWindowAttention. */
export interface SlidingWindowAttentionOptions {
  /** Keys that a token sees, itself included; null or absent: all before it. */
  window?: number | null;
  /** Factor on the scores; 1 / sqrt(P) unless given. */
  scale?: number;
  /**
   * Whether a backend may round keys, values and factors to bf16, where that is faster or what its rings
   * do. false.
   */
  rounds?: boolean;
  /** The tokens before q; without it q starts the text and no ring is returned. */
  ring?: KVRing | undefined;
}

/**
 * softmax(scale q k^T) v, where token i sees tokens i - window + 1 ... i. No positional encoding.
 * Query head h reads key head floor(h / (H / Hkv)). Memory grows with length x window, never with
 * length x length.
 *
 * @param q (B, L, H, P)
 * @param k (B, L, Hkv, P)
 * @param v (B, L, Hkv, P)
 * @returns y (B, L, H, P) and, if a ring was given, the ring after these tokens
 */
export function slidingWindowAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  { window, scale, rounds, ring }: SlidingWindowAttentionOptions = {},
): { y: tf.Tensor; ring?: KVRing } {
  const shapes = new ShapeChecker('slidingWindowAttention');
  shapes.check('q', q, ['B', 'L', 'H', 'P']);
  shapes.check('k', k, ['B', 'L', 'Hkv', 'P']);
  shapes.check('v', v, ['B', 'L', 'Hkv', 'P']);
  if (shapes.size('H') % shapes.size('Hkv') !== 0) {
    throw new InvalidArgumentError(
      'slidingWindowAttention: k',
      `a number of heads that divides the ${shapes.size('H')} query heads`,
      String(shapes.size('Hkv')),
    );
  }
  if (window != null) checkInteger('slidingWindowAttention: window', window, 1);
  const attrs = {
    window: window ?? Number.POSITIVE_INFINITY,
    scale: scale ?? 1 / Math.sqrt(shapes.size('P')),
    ...(rounds && { rounds }),
  };
  return runWithRing(
    { op: 'slidingWindowAttention', shapes, headDim: shapes.size('P'), window: attrs.window },
    ring,
    (rings, positions) =>
      runKernel('SlidingWindowAttention', { q, k, v, ...rings }, { ...attrs, positions }),
  );
}

/**
 * Checks a ring against the axes B, L and Hkv, makes room in it, and runs a kernel that moves it on.
 *
 * @param run returns [y], or [y, ringK, ringV] where it is given rings
 */
export function runWithRing(
  { op, shapes, headDim, window }: RingUser,
  ring: KVRing | undefined,
  run: (rings: { ringK?: tf.Tensor; ringV?: tf.Tensor }, positions: number[]) => tf.Tensor[],
): { y: tf.Tensor; ring?: KVRing } {
  if (!ring) return { y: output(run({}, []), 0) };
  checkFormat(op, ring, headDim);
  for (const [name, numbers] of [['ring.k', ring.k] as const, ['ring.v', ring.v] as const]) {
    const axes = isBf16(ring) ? ['B', 'Hkv', 'C', headDim / 2] : ['B', 'C', 'Hkv', headDim];
    shapes.check(name, numbers, axes, isBf16(ring) ? 'int32' : 'float32');
  }
  checkPositions(op, ring.positions, shapes.size('B'));
  checkCapacity(op, shapes.size('C'), window, Math.max(...ring.positions));
  const length = shapes.size('L');
  const positions = [...ring.positions];
  const needed = Math.min(window, Math.max(...positions) + length);
  const [ringK, ringV] = ringOfCapacity(ring, needed, window);
  try {
    const outputs = run({ ringK, ringV }, positions);
    return {
      y: output(outputs, 0),
      ring: {
        k: output(outputs, 1),
        v: output(outputs, 2),
        positions: positions.map((p) => p + length),
      },
    };
  } finally {
    // A grown copy of the ring is ours to free; the caller's own ring is the caller's.
    if (ringK !== ring.k) tf.dispose([ringK, ringV]);
  }
}

/** An op that attends to a ring: its name, and its axes. */
interface RingUser {
  op: string;
  shapes: ShapeChecker;
  headDim: number;
  window: number;
}

function isBf16({ k, v }: Pick<KVRing, 'k' | 'v'>): boolean {
  return ringFormatOf(k) === 'bf16' && ringFormatOf(v) === 'bf16';
}

function checkFormat(op: string, { k, v }: KVRing, headDim: number): void {
  if (!isBf16({ k, v }) || takesBf16Rings(headDim)) return;
  throw new BackendError(
    `${op}: the backend '${tf.getBackend()}' takes rings of f32 numbers for heads of ` +
      `${headDim}, not of bf16 ones; a state stays on the backend that it was made on`,
  );
}

function checkPositions(op: string, positions: readonly number[], batch: number): void {
  if (positions.length !== batch) {
    throw new InvalidArgumentError(
      `${op}: ring.positions`,
      `one for each of the ${batch} rows`,
      String(positions.length),
    );
  }
  for (const p of positions) checkInteger(`${op}: ring.positions`, p, 0);
}

/** More slots than the window would be attended to; fewer than it has seen would have lost tokens. */
function checkCapacity(op: string, capacity: number, window: number, seen: number): void {
  const least = Math.max(1, Math.min(window, seen));
  if (capacity >= least && capacity <= window) return;
  const expected = `from ${least} to ${window} slots (window ${window}, ${seen} tokens seen)`;
  throw new InvalidArgumentError(`${op}: ring.k`, expected, String(capacity));
}

/**
 * The ring with room for `needed` tokens, at least doubled when it must grow, never beyond the
 * window. While a ring can still grow it has not wrapped, so slots stay where they are.
 */
function ringOfCapacity(ring: KVRing, needed: number, window: number): [tf.Tensor, tf.Tensor] {
  const [, capacity] = ringShapeOf(ring.k);
  if (capacity >= needed) return [ring.k, ring.v];
  const grown = Math.min(window, Math.max(needed, 2 * capacity));
  return [grownRing(ring.k, grown), grownRing(ring.v, grown)];
}
