// The gradient of the scan in chunks of 32 tokens: products of small matrices.
//
// (The state space dual form, arXiv 2405.21060.) In a chunk, with S the state before it and dS the gradient
// of the state after it, u = dt x, up[i] and down[j] the decays up to token i and after token j, L[i][j]
// those from j to i, G = C B^T and M = G L (both lower triangular):
//   y = M u + up C S^T                     S after = total S + (down u)^T B
//   du = M^T dy + down B dS^T              dS before = total dS + (up dy)^T C
//   dM = dy u^T;  dG = sum of dM L over heads;  dC = up dy S + dG B;  dB = down u dS + dG^T C
// The states before the chunks are computed again. The logarithm of decay t has as its gradient all that
// passed from tokens before t to t and later ones, summed without differences.
import { int, load4, madd, num, ptr, sigmoid4, softplus4, store4, sumLanes } from './math';
import { effectiveDt } from './scan';
import { copied, Part, product, transposed } from './small_matrix';
import { touch } from './touch';

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
/** Parts to be summed: (B, H); (B, L, G, BLOCKS, N) twice; (B, H, P) or (B, H), 0: not wanted. */
const DA: usize = 28;
const DB: usize = 29;
const DC: usize = 30;
const DD: usize = 31;
/** (B, H, P, N), 0: not wanted. */
const D_STATE_BEFORE: usize = 32;
/** Blocks that the heads of a group are cut into. */
const BLOCKS: usize = 33;

/** Tokens of a chunk; see also ssd_scan_grad.ts. */
const CHUNK: i32 = 32;
/** Bytes of as many numbers. */
const CHUNK_ROW: usize = 128;

// Words of the table of what stands where in the scratch memory. Of all tokens:
/** dt, the decays, up, down, gradient of the decay's logarithm. */
const DTS: usize = 0;
const DECAYS: usize = 1;
const UP: usize = 2;
const DOWN: usize = 3;
const D_LOG: usize = 4;
/** (L, N) of the group, and their gradients. */
const OWN_B: usize = 5;
const OWN_C: usize = 6;
const OWN_DB: usize = 7;
const OWN_DC: usize = 8;
/** B transposed, a chunk (N, 32) after the other. */
const BT: usize = 9;
/** A chunk (32, 32) after the other. */
const G: usize = 10;
const DG: usize = 11;
/** The head's states (P, N) before the chunks. */
const STATES: usize = 12;
/** The gradient of the state (P, N), and transposed. */
const DS: usize = 13;
const DST: usize = 14;
// Of the present chunk:
/** (N, 32) and (32, N) */
const CT: usize = 15;
const PART: usize = 16;
/** dy, up dy, du: (32, P). */
const OWN_DY: usize = 17;
const UP_DY: usize = 18;
const DU: usize = 19;
/** (P, 32) */
const DYT: usize = 20;
const UT: usize = 21;
/** (32, 32) */
const L: usize = 22;
const M: usize = 23;
const DM: usize = 24;
/** 32 numbers */
const SUMS: usize = 25;
/** Bytes of a row of P or N numbers, filled up to vectors. */
const P_ROW: usize = 26;
const N_ROW: usize = 27;
const TABLE_BYTES: usize = 128;

/**
 * A unit is a row and a block of the heads of one group, which share G. Scratch: as `layOut` gives it away.
 */
export function ssdScanGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const work = scratch;
  layOut(args, work);
  const groups = int(args, GROUPS);
  const blocks = int(args, BLOCKS);
  const perGroup = int(args, HEADS) / groups;
  const perBlock = (perGroup + blocks - 1) / blocks;
  for (let unit = begin; unit < end; unit++) {
    const row = unit / (groups * blocks);
    const group = (unit / blocks) % groups;
    const first = (unit % blocks) * perBlock;
    touchRow(args, row);
    readGroup(args, work, row, group);
    for (let h = first; h < min(first + perBlock, perGroup); h++) {
      headGrad(args, work, row, group * perGroup + h);
    }
    writeGroup(args, work, unit);
  }
}

/** What all heads of a row read and write, each a part of every token. */
function touchRow(args: usize, row: i32): void {
  const length = int(args, LENGTH);
  const xBytes = (<usize>length * ptr(args, X_STRIDE)) << 2;
  const bytes = (<usize>(length * int(args, HEADS) * int(args, HEAD_DIM))) << 2;
  touch(ptr(args, X) + <usize>row * xBytes, xBytes);
  touch(ptr(args, DY) + <usize>row * bytes, bytes);
  touch(ptr(args, DX) + <usize>row * bytes, bytes);
}

/** Fills the table; the memory behind it is given to one thing after the other. */
function layOut(args: usize, work: usize): void {
  const chunks = <usize>((int(args, LENGTH) + CHUNK - 1) / CHUNK);
  const tokens = chunks * CHUNK_ROW;
  const pRow = (<usize>((int(args, HEAD_DIM) + 3) & ~3)) << 2;
  const nRow = (<usize>((int(args, D_STATE) + 3) & ~3)) << 2;
  const state = (pRow >> 2) * nRow;
  let next = work + TABLE_BYTES;
  for (let i = DTS; i <= D_LOG; i++) next = place(work, i, next, tokens);
  for (let i = OWN_B; i <= BT; i++) next = place(work, i, next, (tokens >> 2) * nRow);
  for (let i = G; i <= DG; i++) next = place(work, i, next, tokens * CHUNK);
  next = place(work, STATES, next, chunks * state);
  for (let i = DS; i <= DST; i++) next = place(work, i, next, state);
  for (let i = CT; i <= PART; i++) next = place(work, i, next, nRow * CHUNK);
  for (let i = OWN_DY; i <= UT; i++) next = place(work, i, next, pRow * CHUNK);
  for (let i = L; i <= DM; i++) next = place(work, i, next, CHUNK_ROW * CHUNK);
  place(work, SUMS, next, CHUNK_ROW);
  store<usize>(work + (P_ROW << 2), pRow);
  store<usize>(work + (N_ROW << 2), nRow);
}

function place(work: usize, index: usize, at: usize, bytes: usize): usize {
  store<usize>(work + (index << 2), at);
  return at + bytes;
}

/** B and C of a group of a row, B transposed, G; zeros for their gradients. */
function readGroup(args: usize, work: usize, row: i32, group: i32): void {
  const length = int(args, LENGTH);
  const states = int(args, D_STATE);
  const stride = (<usize>(int(args, GROUPS) * states)) << 2;
  const from = <usize>(row * length) * stride + ((<usize>(group * states)) << 2);
  const nRow = ptr(work, N_ROW);
  const b = ptr(work, OWN_B);
  const c = ptr(work, OWN_C);
  const ct = ptr(work, CT);
  copied(ptr(args, B) + from, stride, length, states, b, nRow, 0);
  copied(ptr(args, C) + from, stride, length, states, c, nRow, 0);
  for (let t: i32 = 0; t < length; t += CHUNK) {
    const count = min(CHUNK, length - t);
    const padded = (count + 3) & ~3;
    const at = <usize>t * nRow;
    const bt = ptr(work, BT) + at;
    const g = ptr(work, G) + <usize>t * CHUNK_ROW;
    transposed(b + at, nRow, count, states, bt, CHUNK_ROW, 0);
    transposed(c + at, nRow, count, states, ct, CHUNK_ROW, 0);
    product(
      ct,
      CHUNK_ROW,
      bt,
      CHUNK_ROW,
      g,
      CHUNK_ROW,
      padded,
      padded,
      states,
      Part.LowerColumns,
      true,
    );
  }
  memory.fill(ptr(work, OWN_DB), 0, <usize>length * nRow);
  memory.fill(ptr(work, OWN_DC), 0, <usize>length * nRow);
  memory.fill(ptr(work, DG), 0, <usize>((length + CHUNK - 1) / CHUNK) * CHUNK * CHUNK_ROW);
}

/** The gradients of B and C that come through G, added to what the heads left; the unit's parts of both. */
function writeGroup(args: usize, work: usize, unit: i32): void {
  const length = int(args, LENGTH);
  const states = int(args, D_STATE);
  const nRow = ptr(work, N_ROW);
  const columns = (states + 3) & ~3;
  const dgt = ptr(work, DM);
  for (let t: i32 = 0; t < length; t += CHUNK) {
    const count = min(CHUNK, length - t);
    const padded = (count + 3) & ~3;
    const at = <usize>t * nRow;
    const dg = ptr(work, DG) + <usize>t * CHUNK_ROW;
    const b = ptr(work, OWN_B) + at;
    const c = ptr(work, OWN_C) + at;
    const db = ptr(work, OWN_DB) + at;
    const dc = ptr(work, OWN_DC) + at;
    product(dg, CHUNK_ROW, c, nRow, db, nRow, padded, columns, count, Part.FromDiagonal, false);
    transposed(dg, CHUNK_ROW, count, count, dgt, CHUNK_ROW, 0);
    product(dgt, CHUNK_ROW, b, nRow, dc, nRow, padded, columns, count, Part.ToDiagonal, false);
  }
  const perRow = int(args, GROUPS) * int(args, BLOCKS);
  const stride = (<usize>(perRow * states)) << 2;
  const to =
    <usize>(unit / perRow) * <usize>length * stride + ((<usize>((unit % perRow) * states)) << 2);
  for (let t: usize = 0; t < <usize>length; t++) {
    for (let n: i32 = 0; n < states; n += 4) {
      const at = (<usize>n) << 2;
      const out = to + t * stride + at;
      store4(ptr(args, DB) + out, v128.load(ptr(work, OWN_DB) + t * nRow + at), states - n);
      store4(ptr(args, DC) + out, v128.load(ptr(work, OWN_DC) + t * nRow + at), states - n);
    }
  }
}

function headGrad(args: usize, work: usize, row: i32, head: i32): void {
  const length = int(args, LENGTH);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const nRow = ptr(work, N_ROW);
  const ds = ptr(work, DS);
  const unit = row * int(args, HEADS) + head;
  const own = (<usize>(unit * dim * states)) << 2;
  const dD = ptr(args, DD);
  if (dD !== 0 && int(args, D_PER_CHANNEL) !== 0) {
    memory.fill(dD + ((<usize>(unit * dim)) << 2), 0, (<usize>dim) << 2);
  }
  readDecays(args, work, row, head);
  statesBefore(args, work, row, head);
  const after = ptr(args, D_STATE_AFTER);
  readState(after === 0 ? 0 : after + own, ds, dim, states, nRow);
  let dA: f32 = 0;
  let dSkip: f32 = 0;
  for (let t = ((length - 1) / CHUNK) * CHUNK; t >= 0; t -= CHUNK) {
    const count = min(CHUNK, length - t);
    chunkGrad(args, work, row, head, t, count);
    dSkip += tokenGrads(args, work, row, head, t, count);
    for (let i = t; i < t + count; i++) {
      const at = (<usize>i) << 2;
      dA += load<f32>(ptr(work, D_LOG) + at) * load<f32>(ptr(work, DTS) + at);
    }
  }
  store<f32>(ptr(args, DA) + ((<usize>unit) << 2), dA);
  if (dD !== 0 && int(args, D_PER_CHANNEL) === 0) store<f32>(dD + ((<usize>unit) << 2), dSkip);
  const before = ptr(args, D_STATE_BEFORE);
  if (before === 0) return;
  for (let p: i32 = 0; p < dim; p++) {
    const to = before + own + ((<usize>(p * states)) << 2);
    for (let n: i32 = 0; n < states; n += 4) {
      const at = (<usize>n) << 2;
      store4(to + at, v128.load(ds + <usize>p * nRow + at), states - n);
    }
  }
}

/** A state, or zeros for 0, with rows and columns filled up. */
function readState(from: usize, to: usize, dim: i32, states: i32, nRow: usize): void {
  memory.fill(to, 0, <usize>((dim + 3) & ~3) * nRow);
  if (from !== 0) copied(from, (<usize>states) << 2, dim, states, to, nRow, 0);
}

/** dt, decays, and the products of decays from a chunk's start and to its end. */
function readDecays(args: usize, work: usize, row: i32, head: i32): void {
  const length = int(args, LENGTH);
  const dts = ptr(work, DTS);
  const decays = ptr(work, DECAYS);
  const up = ptr(work, UP);
  const down = ptr(work, DOWN);
  // Tokens that fill the last vector up count as zeros.
  memory.fill(dts, 0, ptr(work, D_LOG) - dts);
  effectiveDt(args, <usize>(row * length), head, dts, decays);
  for (let first: i32 = 0; first < length; first += CHUNK) {
    const end = min(first + CHUNK, length);
    let all: f32 = 1;
    for (let t = first; t < end; t++) {
      const at = (<usize>t) << 2;
      all *= load<f32>(decays + at);
      store<f32>(up + at, all);
    }
    all = 1;
    for (let t = end - 1; t >= first; t--) {
      const at = (<usize>t) << 2;
      store<f32>(down + at, all);
      all *= load<f32>(decays + at);
    }
  }
}

/** The states before all chunks. */
function statesBefore(args: usize, work: usize, row: i32, head: i32): void {
  const length = int(args, LENGTH);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const pRow = ptr(work, P_ROW);
  const nRow = ptr(work, N_ROW);
  const stateBytes = (pRow >> 2) * nRow;
  const factors = ptr(work, SUMS);
  const u = ptr(work, UP_DY);
  const before = ptr(args, STATE_BEFORE);
  const own = (<usize>((row * int(args, HEADS) + head) * dim * states)) << 2;
  let state = ptr(work, STATES);
  readState(before === 0 ? 0 : before + own, state, dim, states, nRow);
  for (let t: i32 = 0; t + CHUNK < length; t += CHUNK) {
    const at = (<usize>t) << 2;
    for (let i: usize = 0; i < CHUNK_ROW; i += 16) {
      const down = v128.load(ptr(work, DOWN) + at + i);
      v128.store(factors + i, f32x4.mul(down, v128.load(ptr(work, DTS) + at + i)));
    }
    const xStride = ptr(args, X_STRIDE) << 2;
    const x = ptr(args, X) + <usize>(row * length + t) * xStride + ((<usize>(head * dim)) << 2);
    copied(x, xStride, CHUNK, dim, u, pRow, factors);
    const next = state + stateBytes;
    scaled(state, next, stateBytes, load<f32>(ptr(work, UP) + at + CHUNK_ROW - 4));
    const b = ptr(work, OWN_B) + <usize>t * nRow;
    const rows = <i32>(pRow >> 2);
    product(u, pRow, b, nRow, next, nRow, rows, <i32>(nRow >> 2), CHUNK, Part.Whole, false);
    state = next;
  }
}

function scaled(from: usize, to: usize, bytes: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(to + at, f32x4.mul(v128.load(from + at), f));
  }
}

/** du, the decays' gradients, and the head's part of those of B, C and G; dS moves to before the chunk. */
function chunkGrad(args: usize, work: usize, row: i32, head: i32, t: i32, count: i32): void {
  const length = int(args, LENGTH);
  const dim = int(args, HEAD_DIM);
  const states = int(args, D_STATE);
  const pRow = ptr(work, P_ROW);
  const nRow = ptr(work, N_ROW);
  const pColumns = <i32>(pRow >> 2);
  const nColumns = <i32>(nRow >> 2);
  const padded = (count + 3) & ~3;
  const at = (<usize>t) << 2;
  const up = ptr(work, UP) + at;
  const down = ptr(work, DOWN) + at;
  const ds = ptr(work, DS);
  const dst = ptr(work, DST);
  const dyt = ptr(work, DYT);
  const ut = ptr(work, UT);
  const du = ptr(work, DU);
  const part = ptr(work, PART);
  const m = ptr(work, M);
  const dm = ptr(work, DM);
  const ownDy = ptr(work, OWN_DY);
  const upDy = ptr(work, UP_DY);
  const rowsOf = <usize>t * nRow;
  const state = ptr(work, STATES) + (<usize>t / CHUNK) * <usize>pColumns * nRow;

  const token = <usize>(row * length + t);
  const channels = (<usize>(head * dim)) << 2;
  const xStride = ptr(args, X_STRIDE) << 2;
  const dyStride = (<usize>(int(args, HEADS) * dim)) << 2;
  const dy = ptr(args, DY) + token * dyStride + channels;
  const x = ptr(args, X) + token * xStride + channels;
  transposed(x, xStride, count, dim, ut, CHUNK_ROW, ptr(work, DTS) + at);
  copied(dy, dyStride, count, dim, ownDy, pRow, 0);
  copied(ownDy, pRow, count, pColumns, upDy, pRow, up);
  transposed(ownDy, pRow, count, dim, dyt, CHUNK_ROW, 0);
  decaysBetween(work, t, count);

  transposed(ds, nRow, pColumns, states, dst, pRow, 0);
  const bt = ptr(work, BT) + rowsOf;
  product(bt, CHUNK_ROW, dst, pRow, du, pRow, padded, pColumns, states, Part.Whole, true);
  for (let i: i32 = 0; i < count; i++) {
    const r = du + <usize>i * pRow;
    scaled(r, r, pRow, load<f32>(down + ((<usize>i) << 2)));
  }
  product(m, CHUNK_ROW, ownDy, pRow, du, pRow, padded, pColumns, count, Part.FromDiagonal, false);

  product(
    dyt,
    CHUNK_ROW,
    ut,
    CHUNK_ROW,
    dm,
    CHUNK_ROW,
    padded,
    padded,
    dim,
    Part.LowerColumns,
    true,
  );
  passedWithin(work, t, count);
  product(dyt, CHUNK_ROW, state, nRow, part, nRow, padded, nColumns, dim, Part.Whole, true);
  let passed: f32 = 0;
  for (let i = count - 1; i >= 0; i--) {
    passed += addScaled(work, OWN_DC, OWN_C, t, i, load<f32>(up + ((<usize>i) << 2)));
    addTo(ptr(work, D_LOG) + at, i, passed);
  }
  product(ut, CHUNK_ROW, ds, nRow, part, nRow, padded, nColumns, dim, Part.Whole, true);
  const total = load<f32>(up + ((<usize>(count - 1)) << 2));
  passed = total * dot(ds, state, <usize>pColumns * nRow);
  for (let i: i32 = 0; i < count; i++) {
    addTo(ptr(work, D_LOG) + at, i, passed);
    passed += addScaled(work, OWN_DB, OWN_B, t, i, load<f32>(down + ((<usize>i) << 2)));
  }

  scaled(ds, ds, <usize>pColumns * nRow, total);
  const c = ptr(work, OWN_C) + rowsOf;
  product(upDy, pRow, c, nRow, ds, nRow, pColumns, nColumns, count, Part.Whole, false);
}

/** L and M of a chunk. A row of L is the one before times a decay. */
function decaysBetween(work: usize, t: i32, count: i32): void {
  const l = ptr(work, L);
  const m = ptr(work, M);
  const g = ptr(work, G) + <usize>t * CHUNK_ROW;
  const decays = ptr(work, DECAYS) + ((<usize>t) << 2);
  memory.fill(l, 0, CHUNK_ROW * <usize>count);
  memory.fill(m, 0, CHUNK_ROW * <usize>count);
  for (let i: i32 = 0; i < count; i++) {
    const row = <usize>i * CHUNK_ROW;
    const diagonal = (<usize>i) << 2;
    if (i > 0) {
      const decay = v128.load32_splat(decays + diagonal);
      for (let at: usize = 0; at <= diagonal; at += 16) {
        v128.store(l + row + at, f32x4.mul(v128.load(l + row - CHUNK_ROW + at), decay));
      }
    }
    store<f32>(l + row + diagonal, 1);
    for (let at: usize = 0; at <= diagonal; at += 16) {
      const to = row + at;
      v128.store(m + to, f32x4.mul(v128.load(g + to), v128.load(l + to)));
    }
  }
}

/**
 * dG += dM L; the gradient of decay t's logarithm: M dM summed over outputs from t on and inputs before t.
 */
function passedWithin(work: usize, t: i32, count: i32): void {
  const l = ptr(work, L);
  const m = ptr(work, M);
  const dm = ptr(work, DM);
  const dg = ptr(work, DG) + <usize>t * CHUNK_ROW;
  const sums = ptr(work, SUMS);
  const lanes = i32x4(0, 1, 2, 3);
  memory.fill(sums, 0, CHUNK_ROW);
  for (let i = count - 1; i >= 0; i--) {
    const row = <usize>i * CHUNK_ROW;
    const diagonal = (<usize>i) << 2;
    const whole = diagonal & ~15;
    let passed = f32x4.splat(0);
    for (let at: usize = 0; at <= diagonal; at += 16) {
      const to = row + at;
      const d = v128.load(dm + to);
      v128.store(dg + to, madd(d, v128.load(l + to), v128.load(dg + to)));
      const sum = madd(d, v128.load(m + to), v128.load(sums + at));
      v128.store(sums + at, sum);
      if (at < whole) passed = f32x4.add(passed, sum);
      else passed = f32x4.add(passed, v128.and(sum, i32x4.lt_s(lanes, i32x4.splat(i & 3))));
    }
    store<f32>(ptr(work, D_LOG) + ((<usize>(t + i)) << 2), sumLanes(passed));
  }
}

/** Row t + i of a gradient (L, N) += factor times row i of the part; that product with the row of `values`. */
function addScaled(work: usize, gradient: usize, values: usize, t: i32, i: i32, factor: f32): f32 {
  const nRow = ptr(work, N_ROW);
  const part = ptr(work, PART) + <usize>i * nRow;
  const to = ptr(work, gradient) + <usize>(t + i) * nRow;
  const with_ = ptr(work, values) + <usize>(t + i) * nRow;
  const f = f32x4.splat(factor);
  let sum = f32x4.splat(0);
  for (let at: usize = 0; at < nRow; at += 16) {
    const v = f32x4.mul(v128.load(part + at), f);
    v128.store(to + at, f32x4.add(v128.load(to + at), v));
    sum = madd(v, v128.load(with_ + at), sum);
  }
  return sumLanes(sum);
}

function addTo(numbers: usize, i: i32, value: f32): void {
  const at = numbers + ((<usize>i) << 2);
  store<f32>(at, load<f32>(at) + value);
}

function dot(a: usize, b: usize, bytes: usize): f32 {
  let sum = f32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    sum = madd(v128.load(a + at), v128.load(b + at), sum);
  }
  return sumLanes(sum);
}

/** dx and d(dt) of a chunk's tokens, and dD of its channels; returns the head's part of dD. */
function tokenGrads(args: usize, work: usize, row: i32, head: i32, t: i32, count: i32): f32 {
  const length = int(args, LENGTH);
  const heads = int(args, HEADS);
  const dim = int(args, HEAD_DIM);
  const a = load<f32>(ptr(args, A) + ((<usize>head) << 2));
  const skip = ptr(args, D);
  const perChannel = int(args, D_PER_CHANNEL) !== 0;
  const skipOf = skip + ((<usize>(perChannel ? head * dim : head)) << 2);
  const dD = ptr(args, DD);
  const dChannels = dD + ((<usize>((row * heads + head) * dim)) << 2);
  const channels = (<usize>(head * dim)) << 2;
  let dSkip = f32x4.splat(0);
  for (let i: i32 = 0; i < count; i++) {
    const token = <usize>(row * length + t + i);
    const own = token * ((<usize>(heads * dim)) << 2) + channels;
    const x = ptr(args, X) + token * (ptr(args, X_STRIDE) << 2) + channels;
    const dy = ptr(args, DY) + own;
    const dx = ptr(args, DX) + own;
    const du = ptr(work, DU) + <usize>i * ptr(work, P_ROW);
    const at = (<usize>(t + i)) << 2;
    const dt = v128.load32_splat(ptr(work, DTS) + at);
    let dDt = f32x4.splat(0);
    for (let p: i32 = 0; p < dim; p += 4) {
      const o = (<usize>p) << 2;
      const lanes = dim - p;
      const xi = load4(x + o, lanes);
      const dui = v128.load(du + o);
      dDt = madd(dui, xi, dDt);
      let dxi = f32x4.mul(dui, dt);
      if (skip !== 0) {
        const dyi = load4(dy + o, lanes);
        const product = f32x4.mul(dyi, xi);
        dSkip = f32x4.add(dSkip, product);
        dxi = madd(perChannel ? load4(skipOf + o, lanes) : v128.load32_splat(skipOf), dyi, dxi);
        if (dD !== 0 && perChannel) {
          store4(dChannels + o, f32x4.add(load4(dChannels + o, lanes), product), lanes);
        }
      }
      store4(dx + o, dxi, lanes);
    }
    store<f32>(
      ptr(work, SUMS) + ((<usize>i) << 2),
      load<f32>(ptr(work, D_LOG) + at) * a + sumLanes(dDt),
    );
  }
  for (let i: i32 = 0; i < count; i += 4) {
    const d = v128.load(ptr(work, SUMS) + ((<usize>i) << 2));
    const to = ((<usize>(row * length + t + i) * <usize>heads + <usize>head) << 2) + ptr(args, DDT);
    scatter4(
      to,
      (<usize>heads) << 2,
      rawDt4(args, <usize>(row * length + t + i), head, count - i, d),
      count - i,
    );
  }
  return sumLanes(dSkip);
}

/** Gradients of the effective dt of up to four tokens, back through the limits and softplus. */
function rawDt4(args: usize, token: usize, head: i32, lanes: i32, dDt: v128): v128 {
  const stride = ptr(args, DT_STRIDE) << 2;
  const biases = ptr(args, DT_BIAS);
  const bias = biases === 0 ? <f32>0 : load<f32>(biases + ((<usize>head) << 2));
  const given = gather4(ptr(args, DT) + token * stride + ((<usize>head) << 2), stride, lanes);
  const raw = f32x4.add(given, f32x4.splat(bias));
  const softplus = int(args, SOFTPLUS) !== 0;
  const unlimited = softplus ? softplus4(raw) : raw;
  let d = v128.andnot(dDt, f32x4.gt(unlimited, f32x4.splat(num(args, DT_MAX))));
  if (num(args, DT_MIN) > 0)
    d = v128.andnot(d, f32x4.lt(unlimited, f32x4.splat(num(args, DT_MIN))));
  return softplus ? f32x4.mul(d, sigmoid4(raw)) : d;
}

/** Up to four numbers `stride` bytes apart, the other lanes 0. */
function gather4(from: usize, stride: usize, lanes: i32): v128 {
  let v = f32x4.splat(0);
  v = f32x4.replace_lane(v, 0, load<f32>(from));
  if (lanes > 1) v = f32x4.replace_lane(v, 1, load<f32>(from + stride));
  if (lanes > 2) v = f32x4.replace_lane(v, 2, load<f32>(from + (stride << 1)));
  if (lanes > 3) v = f32x4.replace_lane(v, 3, load<f32>(from + stride * 3));
  return v;
}

/** Stores up to four lanes `stride` bytes apart. */
function scatter4(to: usize, stride: usize, v: v128, lanes: i32): void {
  store<f32>(to, f32x4.extract_lane(v, 0));
  if (lanes > 1) store<f32>(to + stride, f32x4.extract_lane(v, 1));
  if (lanes > 2) store<f32>(to + (stride << 1), f32x4.extract_lane(v, 2));
  if (lanes > 3) store<f32>(to + stride * 3, f32x4.extract_lane(v, 3));
}
