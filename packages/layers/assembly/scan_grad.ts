// The gradient of the scan: the recurrence run backwards, its states computed again piece by piece.
//
// With G the gradient of the state after token t, from t = L - 1 down:
//   G += dy C^T;  dC = S[t]^T dy;  d(dt x) = G B;  dB = G^T (dt x);  d decay = sum(G S[t-1]);  G = decay G
import { int, load4, madd, num, ptr, store4, sumLanes } from './math';
import { effectiveDt } from './scan';

// Words 0 ... 23 are those of scan.ts (strides included; y is not used).
const X: usize = 0;
const X_STRIDE: usize = 1;
const B: usize = 2;
const C: usize = 4;
const DT: usize = 6;
const DT_STRIDE: usize = 7;
const A: usize = 8;
const D: usize = 9;
const D_PER_CHANNEL: usize = 10;
const DT_BIAS: usize = 11;
const STATE_BEFORE: usize = 14;
const LENGTH: usize = 16;
const HEADS: usize = 17;
const HEAD_DIM: usize = 18;
const D_STATE: usize = 19;
const GROUPS: usize = 20;
const SOFTPLUS: usize = 21;
const DT_MIN: usize = 22;
const DT_MAX: usize = 23;
const DY: usize = 24;
/** d(state after), 0: none. */
const D_STATE_AFTER: usize = 25;
/** (B, L, H, P), (B, L, H) */
const DX: usize = 26;
const DDT: usize = 27;
/** Parts to be summed: (B, H); (B, L, H, N) twice; (B, H, P) or (B, H), 0: not wanted. */
const DA: usize = 28;
const DB: usize = 29;
const DC: usize = 30;
const DD: usize = 31;
/** (B, H, P, N), 0: not wanted. */
const D_STATE_BEFORE: usize = 32;
/** Tokens whose states are kept at a time. */
const PIECE: usize = 33;

/**
 * A unit is a head of a row. Scratch: 2 length numbers, then states: one for each piece, PIECE + 1, and
 * the gradient's.
 */
export function ssdScanGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, LENGTH);
  const heads = int(args, HEADS);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const groups = int(args, GROUPS);
  const piece = int(args, PIECE);
  const stateBytes = (<usize>(dim * states)) << 2;
  const padded = (<usize>((length + 3) & ~3)) << 2;
  const dts = scratch;
  const decays = scratch + padded;
  const pieces = (length + piece - 1) / piece;
  const marks = decays + padded;
  const kept = marks + <usize>pieces * stateBytes;
  const gradient = kept + <usize>(piece + 1) * stateBytes;
  for (let unit = begin; unit < end; unit++) {
    const head = unit % heads;
    const batch = unit / heads;
    const row = <usize>batch * <usize>length;
    const group = head / (heads / groups);
    effectiveDt(args, row, head, dts, decays);

    const before = ptr(args, STATE_BEFORE);
    if (before === 0) memory.fill(marks, 0, stateBytes);
    else memory.copy(marks, before + <usize>unit * stateBytes, stateBytes);
    const x = ptr(args, X) + row * (ptr(args, X_STRIDE) << 2) + ((<usize>(head * dim)) << 2);
    const xStride = ptr(args, X_STRIDE) << 2;
    const bStride = (<usize>(groups * states)) << 2;
    const b = ptr(args, B) + row * bStride + ((<usize>(group * states)) << 2);
    const c = ptr(args, C) + row * bStride + ((<usize>(group * states)) << 2);
    for (let p: i32 = 1; p < pieces; p++) {
      const mark = marks + <usize>p * stateBytes;
      memory.copy(mark, mark - stateBytes, stateBytes);
      for (let t = (p - 1) * piece; t < p * piece; t++) {
        const at = (<usize>t) << 2;
        const dt = load<f32>(dts + at);
        advance(
          mark,
          mark,
          dim,
          states,
          x + <usize>t * xStride,
          dt,
          load<f32>(decays + at),
          b + <usize>t * bStride,
        );
      }
    }

    const dAfter = ptr(args, D_STATE_AFTER);
    if (dAfter === 0) memory.fill(gradient, 0, stateBytes);
    else memory.copy(gradient, dAfter + <usize>unit * stateBytes, stateBytes);
    let dA: f32 = 0;
    let dSkip: f32 = 0;
    const channelSkip = int(args, D_PER_CHANNEL) !== 0;
    const skip = ptr(args, D);
    const dD = ptr(args, DD);
    if (dD !== 0 && channelSkip)
      memory.fill(dD + ((<usize>(unit * dim)) << 2), 0, (<usize>dim) << 2);
    const a = load<f32>(ptr(args, A) + ((<usize>head) << 2));
    for (let p = pieces - 1; p >= 0; p--) {
      const first = p * piece;
      const last = min(first + piece, length);
      memory.copy(kept, marks + <usize>p * stateBytes, stateBytes);
      for (let t = first; t < last; t++) {
        const s = kept + <usize>(t - first) * stateBytes;
        const at = (<usize>t) << 2;
        advance(
          s,
          s + stateBytes,
          dim,
          states,
          x + <usize>t * xStride,
          load<f32>(dts + at),
          load<f32>(decays + at),
          b + <usize>t * bStride,
        );
      }
      for (let t = last - 1; t >= first; t--) {
        const s = kept + <usize>(t - first) * stateBytes;
        const at = (<usize>t) << 2;
        const dt = load<f32>(dts + at);
        const decay = load<f32>(decays + at);
        const token = row + <usize>t;
        const channel = (token * <usize>heads + <usize>head) * <usize>dim;
        const dx = ptr(args, DX) + (channel << 2);
        const dy = ptr(args, DY) + (channel << 2);
        const part = ((token * <usize>heads + <usize>head) * <usize>states) << 2;
        const dDecay = tokenGrad(
          s,
          s + stateBytes,
          gradient,
          dim,
          states,
          dt,
          decay,
          x + <usize>t * xStride,
          b + <usize>t * bStride,
          c + <usize>t * bStride,
          dy,
          dx,
          ptr(args, DB) + part,
          ptr(args, DC) + part,
        );
        const xt = x + <usize>t * xStride;
        let dDt = dDecay * decay * a;
        dA += dDecay * decay * dt;
        for (let i: i32 = 0; i < dim; i++) {
          const o = (<usize>i) << 2;
          const dDtx = load<f32>(dx + o);
          const dyi = load<f32>(dy + o);
          const xi = load<f32>(xt + o);
          dDt += dDtx * xi;
          let dxi = dDtx * dt;
          if (skip !== 0) {
            const d = channelSkip
              ? load<f32>(skip + ((<usize>(head * dim)) << 2) + o)
              : load<f32>(skip + ((<usize>head) << 2));
            dxi += d * dyi;
            dSkip += dyi * xi;
            if (dD !== 0 && channelSkip) {
              const to = dD + ((<usize>(unit * dim)) << 2) + o;
              store<f32>(to, load<f32>(to) + dyi * xi);
            }
          }
          store<f32>(dx + o, dxi);
        }
        store<f32>(
          ptr(args, DDT) + ((token * <usize>heads + <usize>head) << 2),
          rawDt(args, row, t, head, dDt),
        );
      }
    }
    store<f32>(ptr(args, DA) + ((<usize>unit) << 2), dA);
    if (dD !== 0 && !channelSkip) store<f32>(dD + ((<usize>unit) << 2), dSkip);
    const dBefore = ptr(args, D_STATE_BEFORE);
    if (dBefore !== 0) memory.copy(dBefore + <usize>unit * stateBytes, gradient, stateBytes);
  }
}

/** to = decay from + dt x B^T */
function advance(
  from: usize,
  to: usize,
  dim: i32,
  states: i32,
  x: usize,
  dt: f32,
  decay: f32,
  b: usize,
): void {
  const a = f32x4.splat(decay);
  const whole = (<usize>(states & ~3)) << 2;
  const rest = states & 3;
  for (let p: i32 = 0; p < dim; p++) {
    const dtx = f32x4.splat(load<f32>(x + ((<usize>p) << 2)) * dt);
    let at: usize = 0;
    for (; at < whole; at += 16) {
      v128.store(to + at, madd(v128.load(from + at), a, f32x4.mul(dtx, v128.load(b + at))));
    }
    if (rest !== 0) {
      const next = madd(load4(from + at, rest), a, f32x4.mul(dtx, load4(b + at, rest)));
      store4(to + at, next, rest);
    }
    from += (<usize>states) << 2;
    to += (<usize>states) << 2;
  }
}

/** One token backwards; dx gets d(dt x); returns the gradient of the decay. */
function tokenGrad(
  before: usize,
  after: usize,
  gradient: usize,
  dim: i32,
  states: i32,
  dt: f32,
  decay: f32,
  x: usize,
  b: usize,
  c: usize,
  dy: usize,
  dx: usize,
  dB: usize,
  dC: usize,
): f32 {
  let dDecay: f32 = 0;
  const rowBytes = (<usize>states) << 2;
  memory.fill(dB, 0, rowBytes);
  memory.fill(dC, 0, rowBytes);
  let p: i32 = 0;
  if ((states & 3) === 0) {
    for (; p + 2 <= dim; p += 2) {
      const o = (<usize>p) << 2;
      const at = <usize>p * rowBytes;
      dDecay += twoRowsGrad(
        before + at,
        after + at,
        gradient + at,
        rowBytes,
        dt,
        decay,
        x + o,
        b,
        c,
        dy + o,
        dx + o,
        dB,
        dC,
      );
    }
  }
  for (; p < dim; p++) {
    const o = (<usize>p) << 2;
    const at = <usize>p * rowBytes;
    dDecay += rowGrad(
      before + at,
      after + at,
      gradient + at,
      states,
      dt,
      decay,
      x + o,
      b,
      c,
      dy + o,
      dx + o,
      dB,
      dC,
    );
  }
  return dDecay;
}

/** rowGrad for two rows of whole vectors, so that B, C and their gradients are read once for both. */
function twoRowsGrad(
  before: usize,
  after: usize,
  gradient: usize,
  rowBytes: usize,
  dt: f32,
  decay: f32,
  x: usize,
  b: usize,
  c: usize,
  dy: usize,
  dx: usize,
  dB: usize,
  dC: usize,
): f32 {
  const a = f32x4.splat(decay);
  const dy0 = v128.load32_splat(dy);
  const dy1 = v128.load32_splat(dy, 4);
  const dtx0 = f32x4.splat(load<f32>(x) * dt);
  const dtx1 = f32x4.splat(load<f32>(x, 4) * dt);
  let dDtx0 = f32x4.splat(0);
  let dDtx1 = f32x4.splat(0);
  let dDecay = f32x4.splat(0);
  for (let at: usize = 0; at < rowBytes; at += 16) {
    const second = at + rowBytes;
    const bn = v128.load(b + at);
    const cn = v128.load(c + at);
    const g0 = madd(dy0, cn, v128.load(gradient + at));
    const g1 = madd(dy1, cn, v128.load(gradient + second));
    v128.store(gradient + at, f32x4.mul(g0, a));
    v128.store(gradient + second, f32x4.mul(g1, a));
    dDtx0 = madd(g0, bn, dDtx0);
    dDtx1 = madd(g1, bn, dDtx1);
    dDecay = madd(g0, v128.load(before + at), dDecay);
    dDecay = madd(g1, v128.load(before + second), dDecay);
    v128.store(dB + at, madd(g1, dtx1, madd(g0, dtx0, v128.load(dB + at))));
    const own = madd(v128.load(after + at), dy0, v128.load(dC + at));
    v128.store(dC + at, madd(v128.load(after + second), dy1, own));
  }
  store<f32>(dx, sumLanes(dDtx0));
  store<f32>(dx, sumLanes(dDtx1), 4);
  return sumLanes(dDecay);
}

/** A row of the state and of its gradient; returns its part of the decay's gradient. */
function rowGrad(
  before: usize,
  after: usize,
  gradient: usize,
  states: i32,
  dt: f32,
  decay: f32,
  x: usize,
  b: usize,
  c: usize,
  dy: usize,
  dx: usize,
  dB: usize,
  dC: usize,
): f32 {
  const a = f32x4.splat(decay);
  const dyp = v128.load32_splat(dy);
  const dtx = f32x4.splat(load<f32>(x) * dt);
  let dDtx = f32x4.splat(0);
  let dDecay = f32x4.splat(0);
  for (let n: i32 = 0; n < states; n += 4) {
    const at = (<usize>n) << 2;
    const lanes = states - n;
    const g = madd(dyp, load4(c + at, lanes), load4(gradient + at, lanes));
    store4(dC + at, madd(load4(after + at, lanes), dyp, load4(dC + at, lanes)), lanes);
    dDtx = madd(g, load4(b + at, lanes), dDtx);
    store4(dB + at, madd(g, dtx, load4(dB + at, lanes)), lanes);
    dDecay = madd(g, load4(before + at, lanes), dDecay);
    store4(gradient + at, f32x4.mul(g, a), lanes);
  }
  store<f32>(dx, sumLanes(dDtx));
  return sumLanes(dDecay);
}

/** Back through the limits and softplus. */
function rawDt(args: usize, row: usize, t: i32, head: i32, dDt: f32): f32 {
  const biases = ptr(args, DT_BIAS);
  const at = ((row + <usize>t) * ptr(args, DT_STRIDE) + <usize>head) << 2;
  const bias = biases === 0 ? <f32>0 : load<f32>(biases + ((<usize>head) << 2));
  const raw = load<f32>(ptr(args, DT) + at) + bias;
  const softplus = int(args, SOFTPLUS) !== 0;
  const unlimited = softplus ? <f32>(Math.max(raw, 0) + Math.log1p(Math.exp(-Math.abs(raw)))) : raw;
  if (num(args, DT_MIN) > 0 && unlimited < num(args, DT_MIN)) return 0;
  if (unlimited > num(args, DT_MAX)) return 0;
  return softplus ? dDt * <f32>(1 / (1 + Math.exp(-raw))) : dDt;
}
