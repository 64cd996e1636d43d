// The gradient of the scan: the recurrence run backwards, its states computed again.
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
/** Rows of the state that are taken at a time: all their states are kept. */
const ROWS: i32 = 2;

/**
 * A unit is a head of a row. Rows of the state depend on each other only through the sums that dB, dC
 * and d(decay) are: two rows at a time, all tokens forwards and then backwards. Scratch: 4 numbers a
 * token, two rows of the state for each token, one more, and the gradient's.
 */
export function ssdScanGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, LENGTH);
  const heads = int(args, HEADS);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const padded = (<usize>((length + 3) & ~3)) << 2;
  const dts = scratch;
  const decays = dts + padded;
  const dDecays = decays + padded;
  const dDts = dDecays + padded;
  const kept = dDts + padded;
  const perHeads = int(args, D_PER_CHANNEL) === 0;
  const dD = ptr(args, DD);
  for (let unit = begin; unit < end; unit++) {
    const head = unit % heads;
    const row = <usize>(unit / heads) * <usize>length;
    effectiveDt(args, row, head, dts, decays);
    memory.fill(dDecays, 0, padded << 1);
    clearParts(args, row, head);
    let dSkip: f32 = 0;
    for (let p: i32 = 0; p < dim; p += ROWS) {
      const rows = min(ROWS, dim - p);
      forwards(args, unit, row, head, p, rows, dts, decays, kept);
      dSkip += backwards(args, unit, row, head, p, rows, dts, kept);
    }
    if (dD !== 0 && perHeads) store<f32>(dD + ((<usize>unit) << 2), dSkip);

    const a = load<f32>(ptr(args, A) + ((<usize>head) << 2));
    let dA: f32 = 0;
    for (let t: i32 = 0; t < length; t++) {
      const at = (<usize>t) << 2;
      const d = load<f32>(dDecays + at) * load<f32>(decays + at);
      dA += d * load<f32>(dts + at);
      store<f32>(
        ptr(args, DDT) + (((row + <usize>t) * <usize>heads + <usize>head) << 2),
        rawDt(args, row, t, head, d * a + load<f32>(dDts + at)),
      );
    }
    store<f32>(ptr(args, DA) + ((<usize>unit) << 2), dA);
  }
}

/** Zeros where this head's parts of dB and dC are summed. */
function clearParts(args: usize, row: usize, head: i32): void {
  const stateBytes = (<usize>int(args, D_STATE)) << 2;
  const heads = <usize>int(args, HEADS);
  for (let t: i32 = 0; t < int(args, LENGTH); t++) {
    const part = ((row + <usize>t) * heads + <usize>head) * stateBytes;
    memory.fill(ptr(args, DB) + part, 0, stateBytes);
    memory.fill(ptr(args, DC) + part, 0, stateBytes);
  }
}

/** Rows p ... p + rows - 1 of the state before the first token and after each. */
function forwards(
  args: usize,
  unit: i32,
  row: usize,
  head: i32,
  p: i32,
  rows: i32,
  dts: usize,
  decays: usize,
  kept: usize,
): void {
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const groups = int(args, GROUPS);
  const keptBytes = (<usize>(rows * states)) << 2;
  const before = ptr(args, STATE_BEFORE);
  if (before === 0) memory.fill(kept, 0, keptBytes);
  else memory.copy(kept, before + ((<usize>((unit * dim + p) * states)) << 2), keptBytes);
  const xStride = ptr(args, X_STRIDE) << 2;
  const bStride = (<usize>(groups * states)) << 2;
  let x = ptr(args, X) + row * xStride + ((<usize>(head * dim + p)) << 2);
  let b =
    ptr(args, B) + row * bStride + ((<usize>((head / (int(args, HEADS) / groups)) * states)) << 2);
  const end = dts + ((<usize>int(args, LENGTH)) << 2);
  for (; dts < end; dts += 4) {
    advance(kept, kept + keptBytes, rows, states, x, load<f32>(dts), load<f32>(decays), b);
    kept += keptBytes;
    decays += 4;
    x += xStride;
    b += bStride;
  }
}

/** From the last token to the first; returns the rows' part of dD for a D a head. */
function backwards(
  args: usize,
  unit: i32,
  row: usize,
  head: i32,
  p: i32,
  rows: i32,
  dts: usize,
  kept: usize,
): f32 {
  const length = int(args, LENGTH);
  const heads = int(args, HEADS);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const groups = int(args, GROUPS);
  const padded = (<usize>((length + 3) & ~3)) << 2;
  const decays = dts + padded;
  const dDecays = decays + padded;
  const dDts = dDecays + padded;
  const keptBytes = (<usize>(rows * states)) << 2;
  const ownRows = (<usize>((unit * dim + p) * states)) << 2;
  const gradient = kept + <usize>(length + 1) * keptBytes;
  const after = ptr(args, D_STATE_AFTER);
  if (after === 0) memory.fill(gradient, 0, keptBytes);
  else memory.copy(gradient, after + ownRows, keptBytes);

  const xStride = ptr(args, X_STRIDE) << 2;
  const bStride = (<usize>(groups * states)) << 2;
  const ofGroup = (<usize>((head / (heads / groups)) * states)) << 2;
  const perChannel = int(args, D_PER_CHANNEL) !== 0;
  const skip = ptr(args, D);
  const skipOf = skip + ((<usize>(perChannel ? head * dim + p : head)) << 2);
  const dD = ptr(args, DD);
  const dChannel = dD + ((<usize>(unit * dim + p)) << 2);
  if (dD !== 0 && perChannel) memory.fill(dChannel, 0, (<usize>rows) << 2);
  let dSkip: f32 = 0;
  for (let t = length - 1; t >= 0; t--) {
    const at = (<usize>t) << 2;
    const dt = load<f32>(dts + at);
    const token = row + <usize>t;
    const channel = ((token * <usize>heads + <usize>head) * <usize>dim + <usize>p) << 2;
    const part = ((token * <usize>heads + <usize>head) * <usize>states) << 2;
    const x = ptr(args, X) + token * xStride + ((<usize>(head * dim + p)) << 2);
    const dx = ptr(args, DX) + channel;
    const dy = ptr(args, DY) + channel;
    const s = kept + <usize>t * keptBytes;
    const dDecay = tokenGrad(
      s,
      s + keptBytes,
      gradient,
      rows,
      states,
      dt,
      load<f32>(decays + at),
      x,
      ptr(args, B) + token * bStride + ofGroup,
      ptr(args, C) + token * bStride + ofGroup,
      dy,
      dx,
      ptr(args, DB) + part,
      ptr(args, DC) + part,
    );
    store<f32>(dDecays + at, load<f32>(dDecays + at) + dDecay);
    let dDt = load<f32>(dDts + at);
    for (let i: i32 = 0; i < rows; i++) {
      const o = (<usize>i) << 2;
      const dDtx = load<f32>(dx + o);
      const dyi = load<f32>(dy + o);
      const xi = load<f32>(x + o);
      dDt += dDtx * xi;
      let dxi = dDtx * dt;
      if (skip !== 0) {
        dxi += load<f32>(perChannel ? skipOf + o : skipOf) * dyi;
        dSkip += dyi * xi;
        if (dD !== 0 && perChannel) store<f32>(dChannel + o, load<f32>(dChannel + o) + dyi * xi);
      }
      store<f32>(dx + o, dxi);
    }
    store<f32>(dDts + at, dDt);
  }
  const dBefore = ptr(args, D_STATE_BEFORE);
  if (dBefore !== 0) memory.copy(dBefore + ownRows, gradient, keptBytes);
  return dSkip;
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

/** One token of some rows backwards; dx gets d(dt x), dB and dC more; returns the decay's gradient. */
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
  let dDecay0 = f32x4.splat(0);
  let dDecay1 = f32x4.splat(0);
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
    dDecay0 = madd(g0, v128.load(before + at), dDecay0);
    dDecay1 = madd(g1, v128.load(before + second), dDecay1);
    v128.store(dB + at, madd(g1, dtx1, madd(g0, dtx0, v128.load(dB + at))));
    const own = madd(v128.load(after + at), dy0, v128.load(dC + at));
    v128.store(dC + at, madd(v128.load(after + second), dy1, own));
  }
  store<f32>(dx, sumLanes(dDtx0));
  store<f32>(dx, sumLanes(dDtx1), 4);
  return sumLanes(f32x4.add(dDecay0, dDecay1));
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
