// One chunk of a head in the gradient of the scan; scan_grad.ts has the formulas.
import { int, ptr } from '../shared/arguments';
import { madd, sumLanes } from '../shared/math';
import { copied, Part, product, scaled, transposed } from '../shared/small_matrix';
import { ScanArg, ScanGradArg, ScanGradTable } from './args';
import { CHUNK, CHUNK_ROW } from './grad_layout';

/**
 * du, the gradients of the decays, and the head's contribution to those of B, C and G. dS becomes the
 * gradient of the state before the chunk.
 */
export function chunkGrad(args: usize, work: usize, row: i32, head: i32, t: i32, count: i32): void {
  const length = int(args, ScanArg.length);
  const dim = int(args, ScanArg.headDim);
  const states = int(args, ScanArg.dState);
  const pRow = ptr(work, ScanGradTable.pRow);
  const nRow = ptr(work, ScanGradTable.nRow);
  const pColumns = <i32>(pRow >> 2);
  const nColumns = <i32>(nRow >> 2);
  const padded = (count + 3) & ~3;
  const at = (<usize>t) << 2;
  const up = ptr(work, ScanGradTable.up) + at;
  const down = ptr(work, ScanGradTable.down) + at;
  const ds = ptr(work, ScanGradTable.ds);
  const dst = ptr(work, ScanGradTable.dsT);
  const dyt = ptr(work, ScanGradTable.dyT);
  const ut = ptr(work, ScanGradTable.uT);
  const du = ptr(work, ScanGradTable.du);
  const part = ptr(work, ScanGradTable.part);
  const m = ptr(work, ScanGradTable.m);
  const dm = ptr(work, ScanGradTable.dm);
  const ownDy = ptr(work, ScanGradTable.dy);
  const upDy = ptr(work, ScanGradTable.upDy);
  const rowsOf = <usize>t * nRow;
  const state = ptr(work, ScanGradTable.states) + (<usize>t / CHUNK) * <usize>pColumns * nRow;

  const token = <usize>(row * length + t);
  const channels = (<usize>(head * dim)) << 2;
  const xStride = ptr(args, ScanArg.xStride) << 2;
  const dyStride = (<usize>(int(args, ScanArg.heads) * dim)) << 2;
  const dy = ptr(args, ScanGradArg.dy) + token * dyStride + channels;
  const x = ptr(args, ScanArg.x) + token * xStride + channels;
  transposed(x, xStride, count, dim, ut, CHUNK_ROW, ptr(work, ScanGradTable.dts) + at);
  copied(dy, dyStride, count, dim, ownDy, pRow, 0);
  copied(ownDy, pRow, count, pColumns, upDy, pRow, up);
  transposed(ownDy, pRow, count, dim, dyt, CHUNK_ROW, 0);
  decaysBetween(work, t, count);

  transposed(ds, nRow, pColumns, states, dst, pRow, 0);
  const bt = ptr(work, ScanGradTable.bT) + rowsOf;
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
    passed += addScaled(
      work,
      ScanGradTable.dc,
      ScanGradTable.c,
      t,
      i,
      load<f32>(up + ((<usize>i) << 2)),
    );
    addTo(ptr(work, ScanGradTable.dLog) + at, i, passed);
  }
  product(ut, CHUNK_ROW, ds, nRow, part, nRow, padded, nColumns, dim, Part.Whole, true);
  const total = load<f32>(up + ((<usize>(count - 1)) << 2));
  passed = total * dot(ds, state, <usize>pColumns * nRow);
  for (let i: i32 = 0; i < count; i++) {
    addTo(ptr(work, ScanGradTable.dLog) + at, i, passed);
    passed += addScaled(
      work,
      ScanGradTable.db,
      ScanGradTable.b,
      t,
      i,
      load<f32>(down + ((<usize>i) << 2)),
    );
  }

  scaled(ds, ds, <usize>pColumns * nRow, total);
  const c = ptr(work, ScanGradTable.c) + rowsOf;
  product(upDy, pRow, c, nRow, ds, nRow, pColumns, nColumns, count, Part.Whole, false);
}

/** L and M of a chunk. Each row of L is the previous one times a decay. */
function decaysBetween(work: usize, t: i32, count: i32): void {
  const l = ptr(work, ScanGradTable.l);
  const m = ptr(work, ScanGradTable.m);
  const g = ptr(work, ScanGradTable.g) + <usize>t * CHUNK_ROW;
  const decays = ptr(work, ScanGradTable.decays) + ((<usize>t) << 2);
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
  const l = ptr(work, ScanGradTable.l);
  const m = ptr(work, ScanGradTable.m);
  const dm = ptr(work, ScanGradTable.dm);
  const dg = ptr(work, ScanGradTable.dg) + <usize>t * CHUNK_ROW;
  const sums = ptr(work, ScanGradTable.sums);
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
    store<f32>(ptr(work, ScanGradTable.dLog) + ((<usize>(t + i)) << 2), sumLanes(passed));
  }
}

/**
 * Row t + i of a gradient (L, N) += factor times row i of the part. Returns its dot product with the row of
 * `values`.
 */
function addScaled(work: usize, gradient: usize, values: usize, t: i32, i: i32, factor: f32): f32 {
  const nRow = ptr(work, ScanGradTable.nRow);
  const part = ptr(work, ScanGradTable.part) + <usize>i * nRow;
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
