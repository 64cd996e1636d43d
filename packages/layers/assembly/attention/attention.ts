// Sliding-window attention; older keys may be in a cache.
//
// All scores of a query are kept, its softmax is exact, and its sum runs in time order: the operations are
// the same for one query or many, however they are divided into units.
import { int, num, ptr } from '../shared/arguments';
import { AttentionArg } from './args';
import { joinEvens, keyAt, keyStride, positionOf, runEnd, splitEvens } from './keys';
import { exponentials, scoreKeys, scoreKeysOfFour } from './scores';
import { addValues, addValuesOfFour, divide } from './values';

/**
 * Keys that all heads of a unit's query process before the next ones: f32 memory is then read in order, and
 * values, which are read in two halves, come from the cache.
 */
const TILE: i32 = 16;

/**
 * A unit is a block of queries and of key heads. Scratch: SCORES + 1 values per query head of the unit, or
 * per four queries of a head; with bf16 as many queries too.
 */
export function attention(args: usize, begin: i32, end: i32, scratch: usize): void {
  const blocks = int(args, AttentionArg.blocks);
  const headBlocks = int(args, AttentionArg.headBlocks);
  const length = int(args, AttentionArg.length);
  for (let unit = begin; unit < end; unit++) {
    const headBlock = unit % headBlocks;
    const block = (unit / headBlocks) % blocks;
    const row = unit / headBlocks / blocks;
    const first = block * int(args, AttentionArg.block);
    const last = min(first + int(args, AttentionArg.block), length);
    const h0 = headBlock * int(args, AttentionArg.headBlock);
    const h1 = min(h0 + int(args, AttentionArg.headBlock), int(args, AttentionArg.kvHeads));
    let i = first;
    for (; i + 4 <= last; i += 4) {
      for (let h = h0; h < h1; h++) fourQueries(args, row, i, h, scratch);
    }
    for (; i < last; i++) oneQuery(args, row, i, h0, h1, scratch);
  }
}

/** One query for key heads [h0, h1): outer loop over tiles of keys, inner loop over heads. */
function oneQuery(args: usize, row: i32, i: i32, h0: i32, h1: i32, scratch: usize): void {
  const isBf16 = int(args, AttentionArg.isBf16) !== 0;
  const dim = int(args, AttentionArg.headDim);
  const dimBytes = (<usize>dim) << 2;
  const group = int(args, AttentionArg.heads) / int(args, AttentionArg.kvHeads);
  const heads = (h1 - h0) * group;
  const end = positionOf(args, row) + i + 1;
  const start = max(0, end - int(args, AttentionArg.window));
  const scoreBytes = ptr(args, AttentionArg.scores) << 2;
  const sums = scratch + <usize>heads * scoreBytes;
  const token = <usize>(row * int(args, AttentionArg.length) + i);
  const headsBefore = <usize>(h0 * group) * dimBytes;
  let q =
    ptr(args, AttentionArg.q) + ((token * ptr(args, AttentionArg.qStride)) << 2) + headsBefore;
  const y =
    ptr(args, AttentionArg.y) + ((token * ptr(args, AttentionArg.yStride)) << 2) + headsBefore;
  if (isBf16) {
    const split = sums + ((<usize>heads) << 2);
    splitEvens(q, split, <usize>(heads * dim));
    q = split;
  }

  for (let t = start; t < end; ) {
    const stop = min(runEnd(args, row, t, end), t + TILE);
    const stride = keyStride(args, row, t);
    let scores = scratch + ((<usize>(t - start)) << 2);
    for (let h: i32 = 0; h < heads; h++) {
      const k = keyAt(
        args,
        ptr(args, AttentionArg.k),
        ptr(args, AttentionArg.cacheK),
        row,
        h0 + h / group,
        t,
      );
      scoreKeys(isBf16, q + <usize>h * dimBytes, k, stride, stop - t, dim, scores);
      scores += scoreBytes;
    }
    t = stop;
  }
  for (let h: i32 = 0; h < heads; h++) {
    const sum = exponentials(
      scratch + <usize>h * scoreBytes,
      end - start,
      num(args, AttentionArg.scale),
    );
    store<f32>(sums + ((<usize>h) << 2), sum);
  }
  memory.fill(y, 0, <usize>heads * dimBytes);
  for (let t = start; t < end; ) {
    const stop = min(runEnd(args, row, t, end), t + TILE);
    const stride = keyStride(args, row, t);
    let weights = scratch + ((<usize>(t - start)) << 2);
    for (let h: i32 = 0; h < heads; h++) {
      const v = keyAt(
        args,
        ptr(args, AttentionArg.v),
        ptr(args, AttentionArg.cacheV),
        row,
        h0 + h / group,
        t,
      );
      addValues(isBf16, weights, v, stride, stop - t, y + <usize>h * dimBytes, dim);
      weights += scoreBytes;
    }
    t = stop;
  }
  for (let h: i32 = 0; h < heads; h++) {
    divide(y + <usize>h * dimBytes, dim, load<f32>(sums + ((<usize>h) << 2)));
  }
  if (isBf16) joinEvens(y, <usize>(heads * dim));
}

/** Queries i ... i + 3 for key head h. */
function fourQueries(args: usize, row: i32, i: i32, h: i32, scratch: usize): void {
  const isBf16 = int(args, AttentionArg.isBf16) !== 0;
  const dim = int(args, AttentionArg.headDim);
  const dimBytes = (<usize>dim) << 2;
  const group = int(args, AttentionArg.heads) / int(args, AttentionArg.kvHeads);
  const position = positionOf(args, row);
  const window = int(args, AttentionArg.window);
  const start = max(0, position + i + 1 - window);
  const end = position + i + 4;
  const scoreBytes = ptr(args, AttentionArg.scores) << 2;
  const yStride = ptr(args, AttentionArg.yStride) << 2;
  const token = <usize>(row * int(args, AttentionArg.length) + i);
  const sums = scratch + (scoreBytes << 2);
  for (let r: i32 = 0; r < group; r++) {
    const head = <usize>(h * group + r) * dimBytes;
    let qStride = ptr(args, AttentionArg.qStride) << 2;
    let q = ptr(args, AttentionArg.q) + token * qStride + head;
    const y = ptr(args, AttentionArg.y) + token * yStride + head;
    if (isBf16) {
      const split = sums + 16;
      for (let j: usize = 0; j < 4; j++) splitEvens(q + j * qStride, split + j * dimBytes, dim);
      q = split;
      qStride = dimBytes;
    }
    for (let t = start; t < end; ) {
      const stop = runEnd(args, row, t, end);
      const stride = keyStride(args, row, t);
      const k = keyAt(args, ptr(args, AttentionArg.k), ptr(args, AttentionArg.cacheK), row, h, t);
      const scores = scratch + ((<usize>(t - start)) << 2);
      scoreKeysOfFour(isBf16, q, qStride, k, stride, stop - t, dim, scores, scoreBytes);
      t = stop;
    }
    for (let j: i32 = 0; j < 4; j++) {
      const scores = scratch + <usize>j * scoreBytes;
      const own = max(0, position + i + j + 1 - window) - start;
      const ownEnd = position + i + j + 1 - start;
      const sum = exponentials(
        scores + ((<usize>own) << 2),
        ownEnd - own,
        num(args, AttentionArg.scale),
      );
      memory.fill(scores, 0, (<usize>own) << 2);
      memory.fill(scores + ((<usize>ownEnd) << 2), 0, (<usize>(end - start - ownEnd)) << 2);
      store<f32>(sums + ((<usize>j) << 2), sum);
      memory.fill(y + <usize>j * yStride, 0, dimBytes);
    }
    for (let t = start; t < end; ) {
      const stop = runEnd(args, row, t, end);
      const stride = keyStride(args, row, t);
      const v = keyAt(args, ptr(args, AttentionArg.v), ptr(args, AttentionArg.cacheV), row, h, t);
      const weights = scratch + ((<usize>(t - start)) << 2);
      addValuesOfFour(isBf16, weights, scoreBytes, v, stride, stop - t, y, yStride, dim);
      t = stop;
    }
    for (let j: usize = 0; j < 4; j++) {
      divide(y + j * yStride, dim, load<f32>(sums + (j << 2)));
      if (isBf16) joinEvens(y + j * yStride, dim);
    }
  }
}
