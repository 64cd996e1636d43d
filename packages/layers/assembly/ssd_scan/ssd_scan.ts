// The state-space scan as a recurrence, each head separately: some tokens for four rows of the state, which
// stay in the first-level cache with B and C of the tokens, then the next four rows.
//
// Every value is the same sequence of operations for any number of tokens: prefill and decode are bitwise
// identical, and there are no chunks to choose.
import { gate } from '../norm/norm';
import { int, num, ptr } from '../shared/arguments';
import { exp4, load4, madd, softplus4, store4, sumLanes, sumLanes4 } from '../shared/math';
import { touch } from '../shared/touch';
import { ScanArg } from './args';

/** Tokens whose B and C (1 KB each with 128 states) stay in the cache. */
const TOKENS: i32 = 16;

/** A unit is a head of a sequence. Scratch: 2 length + headDim dState values. */
export function ssdScan(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, ScanArg.length);
  const heads = int(args, ScanArg.heads);
  const dim = int(args, ScanArg.headDim);
  const states = int(args, ScanArg.dState);
  const stateBytes = (<usize>(dim * states)) << 2;
  const dts = scratch;
  const decays = scratch + ((<usize>((length + 3) & ~3)) << 2);
  const own = decays + ((<usize>((length + 3) & ~3)) << 2);
  for (let unit = begin; unit < end; unit++) {
    const head = unit % heads;
    const row = <usize>(unit / heads) * <usize>length;
    const group = head / (heads / int(args, ScanArg.groups));
    if (length > 1 && (head === 0 || unit === begin)) {
      const xBytes = ptr(args, ScanArg.xStride) << 2;
      const yBytes = ptr(args, ScanArg.yStride) << 2;
      touch(ptr(args, ScanArg.x) + row * xBytes, <usize>length * xBytes);
      if (ptr(args, ScanArg.y) !== 0)
        touch(ptr(args, ScanArg.y) + row * yBytes, <usize>length * yBytes);
    }
    effectiveDt(args, row, head, dts, decays);

    let state = ptr(args, ScanArg.after);
    state = state === 0 ? own : state + <usize>unit * stateBytes;
    // There may be no memory after a scratch state and after the last state.
    const nextFollows = state !== own && unit + 1 < end;
    const before = ptr(args, ScanArg.before);
    if (before === 0) memory.fill(state, 0, stateBytes);
    else {
      const from = before + <usize>unit * stateBytes;
      if (from !== state) memory.copy(state, from, stateBytes);
    }

    const xStride = ptr(args, ScanArg.xStride) << 2;
    const bStride = ptr(args, ScanArg.bStride) << 2;
    const cStride = ptr(args, ScanArg.cStride) << 2;
    const yStride = ptr(args, ScanArg.yStride) << 2;
    let x = ptr(args, ScanArg.x) + row * xStride + ((<usize>(head * dim)) << 2);
    let b = ptr(args, ScanArg.B) + row * bStride + ((<usize>(group * states)) << 2);
    let c = ptr(args, ScanArg.C) + row * cStride + ((<usize>(group * states)) << 2);
    const isSilent = ptr(args, ScanArg.y) === 0;
    let y = ptr(args, ScanArg.y) + row * yStride + ((<usize>(head * dim)) << 2);
    let skip = ptr(args, ScanArg.D);
    const perChannel = int(args, ScanArg.dPerChannel) !== 0;
    if (skip !== 0) skip += (<usize>(perChannel ? head * dim : head)) << 2;
    const gates = ptr(args, ScanArg.gate);
    const gateStride = ptr(args, ScanArg.gateStride) << 2;
    let z = gates + row * gateStride + ((<usize>(head * dim)) << 2);

    for (let t: i32 = 0; t < length; t += TOKENS) {
      const count = min(TOKENS, length - t);
      const dt = dts + ((<usize>t) << 2);
      const decay = decays + ((<usize>t) << 2);
      let p: i32 = 0;
      if ((states & 3) === 0) {
        for (; p + 4 <= dim; p += 4) {
          const at = (<usize>p) << 2;
          const s = state + ((<usize>(p * states)) << 2);
          if (isSilent) {
            advanceFourRows(args, s, x + at, dt, decay, b, count);
          } else if (count > 1) {
            fourRowsOfTokens(args, s, x + at, dt, decay, b, c, y + at, count);
          } else {
            const follows = p + 8 <= dim || nextFollows;
            const next = follows ? s + ((<usize>states) << 4) : s;
            fourRows(s, next, states, x + at, load<f32>(dt), load<f32>(decay), b, c, y + at);
          }
        }
      }
      for (; p < dim; p++) {
        const s = state + ((<usize>(p * states)) << 2);
        for (let i: usize = 0; i < <usize>count; i++) {
          const at = (<usize>p) << 2;
          const dtx = load<f32>(x + i * xStride + at) * load<f32>(dt + (i << 2));
          const d = load<f32>(decay + (i << 2));
          const sum = oneRow(s, states, dtx, d, b + i * bStride, c + i * cStride);
          if (!isSilent) store<f32>(y + i * yStride + at, sum);
        }
      }
      for (let i: i32 = 0; i < count; i++) {
        if (skip !== 0 && !isSilent) addSkip(x, skip, perChannel, y, dim);
        if (gates !== 0 && !isSilent) gate(y, z, y, dim);
        z += gateStride;
        x += xStride;
        b += bStride;
        c += cStride;
        y += yStride;
      }
    }
  }
}

/** dt after bias, softplus and limits, and exp(dt A), of every token of a head. */
export function effectiveDt(args: usize, row: usize, head: i32, dts: usize, decays: usize): void {
  const length = int(args, ScanArg.length);
  const stride = ptr(args, ScanArg.dtStride);
  const from = ptr(args, ScanArg.dt) + ((row * stride + <usize>head) << 2);
  const biases = ptr(args, ScanArg.dtBias);
  const bias = biases === 0 ? <f32>0 : load<f32>(biases + ((<usize>head) << 2));
  for (let t: i32 = 0; t < length; t++) {
    store<f32>(dts + ((<usize>t) << 2), load<f32>(from + ((<usize>t * stride) << 2)) + bias);
  }
  const a = f32x4.splat(load<f32>(ptr(args, ScanArg.A) + ((<usize>head) << 2)));
  const low = f32x4.splat(num(args, ScanArg.dtMin));
  const high = f32x4.splat(num(args, ScanArg.dtMax));
  const limitLow = num(args, ScanArg.dtMin) > 0;
  for (let t: i32 = 0; t < length; t += 4) {
    const at = (<usize>t) << 2;
    let v = load4(dts + at, length - t);
    if (int(args, ScanArg.dtSoftplus)) v = softplus4(v);
    if (limitLow) v = f32x4.max(v, low);
    v = f32x4.min(v, high);
    store4(dts + at, v, length - t);
    store4(decays + at, exp4(f32x4.mul(v, a)), length - t);
  }
}

/** y += D x for one token of a head. */
function addSkip(x: usize, skip: usize, perChannel: bool, y: usize, dim: i32): void {
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    const d = perChannel ? load4(skip + at, dim - p) : v128.load32_splat(skip);
    store4(y + at, madd(load4(x + at, dim - p), d, load4(y + at, dim - p)), dim - p);
  }
}

/** Advances a row of a head's state by a token; returns its dot product with C. */
function oneRow(s: usize, states: i32, dtx: f32, decay: f32, b: usize, c: usize): f32 {
  const x = f32x4.splat(dtx);
  const a = f32x4.splat(decay);
  let y = f32x4.splat(0);
  let n: i32 = 0;
  for (; n + 4 <= states; n += 4) {
    const at = (<usize>n) << 2;
    const v = madd(v128.load(s + at), a, f32x4.mul(x, v128.load(b + at)));
    v128.store(s + at, v);
    y = madd(v, v128.load(c + at), y);
  }
  if (n < states) {
    const at = (<usize>n) << 2;
    const v = madd(load4(s + at, states - n), a, f32x4.mul(x, load4(b + at, states - n)));
    store4(s + at, v, states - n);
    y = madd(v, load4(c + at, states - n), y);
  }
  return sumLanes(y);
}

/**
 * oneRow for four rows of whole vectors, with combined lane sums. It touches the four rows at `next` line
 * by line: hardware prefetch follows one sequential stream, but not four.
 */
function fourRows(
  s: usize,
  next: usize,
  states: i32,
  x: usize,
  dt: f32,
  decay: f32,
  b: usize,
  c: usize,
  y: usize,
): void {
  const rowBytes = (<usize>states) << 2;
  const s1 = s + rowBytes;
  const s2 = s1 + rowBytes;
  const s3 = s2 + rowBytes;
  const a = f32x4.splat(decay);
  v128.store(y, f32x4.mul(v128.load(x), f32x4.splat(dt)));
  const x0 = v128.load32_splat(y);
  const x1 = v128.load32_splat(y, 4);
  const x2 = v128.load32_splat(y, 8);
  const x3 = v128.load32_splat(y, 12);
  let y0 = f32x4.splat(0);
  let y1 = f32x4.splat(0);
  let y2 = f32x4.splat(0);
  let y3 = f32x4.splat(0);
  for (let at: usize = 0; at < rowBytes; at += 16) {
    load<i32>(next + (at << 2));
    const bn = v128.load(b + at);
    const cn = v128.load(c + at);
    let v = madd(v128.load(s + at), a, f32x4.mul(x0, bn));
    v128.store(s + at, v);
    y0 = madd(v, cn, y0);
    v = madd(v128.load(s1 + at), a, f32x4.mul(x1, bn));
    v128.store(s1 + at, v);
    y1 = madd(v, cn, y1);
    v = madd(v128.load(s2 + at), a, f32x4.mul(x2, bn));
    v128.store(s2 + at, v);
    y2 = madd(v, cn, y2);
    v = madd(v128.load(s3 + at), a, f32x4.mul(x3, bn));
    v128.store(s3 + at, v);
    y3 = madd(v, cn, y3);
  }
  v128.store(y, sumLanes4(y0, y1, y2, y3));
}

/**
 * oneRow for four rows of whole vectors and `count` tokens. A row's dt x is passed through y: the engine
 * keeps values in registers if they are loaded, not computed.
 */
function fourRowsOfTokens(
  args: usize,
  s: usize,
  x: usize,
  dts: usize,
  decays: usize,
  b: usize,
  c: usize,
  y: usize,
  count: i32,
): void {
  const rowBytes = ptr(args, ScanArg.dState) << 2;
  const xStride = ptr(args, ScanArg.xStride) << 2;
  const bStride = ptr(args, ScanArg.bStride) << 2;
  const cStride = ptr(args, ScanArg.cStride) << 2;
  const yStride = ptr(args, ScanArg.yStride) << 2;
  const s1 = s + rowBytes;
  const s2 = s1 + rowBytes;
  const s3 = s2 + rowBytes;
  for (let t: usize = 0; t < (<usize>count) << 2; t += 4) {
    const dt = load<f32>(dts + t);
    const a = v128.load32_splat(decays + t);
    v128.store(y, f32x4.mul(v128.load(x), f32x4.splat(dt)));
    const x0 = v128.load32_splat(y);
    const x1 = v128.load32_splat(y, 4);
    const x2 = v128.load32_splat(y, 8);
    const x3 = v128.load32_splat(y, 12);
    let y0 = f32x4.splat(0);
    let y1 = f32x4.splat(0);
    let y2 = f32x4.splat(0);
    let y3 = f32x4.splat(0);
    for (let at: usize = 0; at < rowBytes; at += 16) {
      const bn = v128.load(b + at);
      const cn = v128.load(c + at);
      let v = madd(v128.load(s + at), a, f32x4.mul(x0, bn));
      v128.store(s + at, v);
      y0 = madd(v, cn, y0);
      v = madd(v128.load(s1 + at), a, f32x4.mul(x1, bn));
      v128.store(s1 + at, v);
      y1 = madd(v, cn, y1);
      v = madd(v128.load(s2 + at), a, f32x4.mul(x2, bn));
      v128.store(s2 + at, v);
      y2 = madd(v, cn, y2);
      v = madd(v128.load(s3 + at), a, f32x4.mul(x3, bn));
      v128.store(s3 + at, v);
      y3 = madd(v, cn, y3);
    }
    v128.store(y, sumLanes4(y0, y1, y2, y3));
    x += xStride;
    b += bStride;
    c += cStride;
    y += yStride;
  }
}

/** fourRowsOfTokens without outputs. */
function advanceFourRows(
  args: usize,
  s: usize,
  x: usize,
  dts: usize,
  decays: usize,
  b: usize,
  count: i32,
): void {
  const rowBytes = ptr(args, ScanArg.dState) << 2;
  const xStride = ptr(args, ScanArg.xStride) << 2;
  const bStride = ptr(args, ScanArg.bStride) << 2;
  const s1 = s + rowBytes;
  const s2 = s1 + rowBytes;
  const s3 = s2 + rowBytes;
  for (let t: usize = 0; t < (<usize>count) << 2; t += 4) {
    const a = v128.load32_splat(decays + t);
    const dtx = f32x4.mul(v128.load(x), v128.load32_splat(dts + t));
    const x0 = v128.shuffle<i32>(dtx, dtx, 0, 0, 0, 0);
    const x1 = v128.shuffle<i32>(dtx, dtx, 1, 1, 1, 1);
    const x2 = v128.shuffle<i32>(dtx, dtx, 2, 2, 2, 2);
    const x3 = v128.shuffle<i32>(dtx, dtx, 3, 3, 3, 3);
    for (let at: usize = 0; at < rowBytes; at += 16) {
      const bn = v128.load(b + at);
      v128.store(s + at, madd(v128.load(s + at), a, f32x4.mul(x0, bn)));
      v128.store(s1 + at, madd(v128.load(s1 + at), a, f32x4.mul(x1, bn)));
      v128.store(s2 + at, madd(v128.load(s2 + at), a, f32x4.mul(x2, bn)));
      v128.store(s3 + at, madd(v128.load(s3 + at), a, f32x4.mul(x3, bn)));
    }
    x += xStride;
    b += bStride;
  }
}
