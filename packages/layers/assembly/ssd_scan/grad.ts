// The gradient of the scan in chunks of 32 tokens: matmuls of small matrices.
//
// (The state space dual form, arXiv 2405.21060.) In a chunk, with S the state before it and dS the gradient
// of the state after it, u = dt x, up[i] and down[j] the decays up to token i and after token j, L[i][j]
// those from j to i, G = C B^T and M = G L (both lower triangular):
//   y = M u + up C S^T                     S after = total S + (down u)^T B
//   du = M^T dy + down B dS^T              dS before = total dS + (up dy)^T C
//   dM = dy u^T;  dG = sum of dM L over heads;  dC = up dy S + dG B;  dB = down u dS + dG^T C
// The states before the chunks are recomputed. The gradient of the logarithm of decay t sums all terms that
// pass from tokens before t to t and later ones, without differences.
import { int, ptr } from '../shared/arguments';
import { store4 } from '../shared/math';
import { copied, Part, product, scaled } from '../shared/small_matrix';
import { touch } from '../shared/touch';
import { ScanArg, ScanGradArg, ScanGradTable } from './args';
import { chunkGrad } from './grad_chunk';
import { readGroup, writeGroup } from './grad_group';
import { CHUNK, CHUNK_ROW, layOut } from './grad_layout';
import { tokenGrads } from './grad_tokens';
import { effectiveDt } from './ssd_scan';

/** A unit is a sequence and a block of heads of one group, which share G. Scratch: see `layOut`. */
export function ssdScanGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const work = scratch;
  layOut(args, work);
  const groups = int(args, ScanArg.groups);
  const blocks = int(args, ScanGradArg.blocks);
  const perGroup = int(args, ScanArg.heads) / groups;
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

/** Shared data of all heads of a sequence. The tokens are split into parts. */
function touchRow(args: usize, row: i32): void {
  const length = int(args, ScanArg.length);
  const xBytes = (<usize>length * ptr(args, ScanArg.xStride)) << 2;
  const bytes = (<usize>(length * int(args, ScanArg.heads) * int(args, ScanArg.headDim))) << 2;
  touch(ptr(args, ScanArg.x) + <usize>row * xBytes, xBytes);
  touch(ptr(args, ScanGradArg.dy) + <usize>row * bytes, bytes);
  touch(ptr(args, ScanGradArg.dx) + <usize>row * bytes, bytes);
}

function headGrad(args: usize, work: usize, row: i32, head: i32): void {
  const length = int(args, ScanArg.length);
  const dim = int(args, ScanArg.headDim);
  const states = int(args, ScanArg.dState);
  const nRow = ptr(work, ScanGradTable.nRow);
  const ds = ptr(work, ScanGradTable.ds);
  const unit = row * int(args, ScanArg.heads) + head;
  const own = (<usize>(unit * dim * states)) << 2;
  const dD = ptr(args, ScanGradArg.dD);
  if (dD !== 0 && int(args, ScanArg.dPerChannel) !== 0) {
    memory.fill(dD + ((<usize>(unit * dim)) << 2), 0, (<usize>dim) << 2);
  }
  readDecays(args, work, row, head);
  statesBefore(args, work, row, head);
  const after = ptr(args, ScanGradArg.dafter);
  readState(after === 0 ? 0 : after + own, ds, dim, states, nRow);
  let dA: f32 = 0;
  let dSkip: f32 = 0;
  for (let t = ((length - 1) / CHUNK) * CHUNK; t >= 0; t -= CHUNK) {
    const count = min(CHUNK, length - t);
    chunkGrad(args, work, row, head, t, count);
    dSkip += tokenGrads(args, work, row, head, t, count);
    for (let i = t; i < t + count; i++) {
      const at = (<usize>i) << 2;
      dA +=
        load<f32>(ptr(work, ScanGradTable.dLog) + at) *
        load<f32>(ptr(work, ScanGradTable.dts) + at);
    }
  }
  store<f32>(ptr(args, ScanGradArg.dA) + ((<usize>unit) << 2), dA);
  if (dD !== 0 && int(args, ScanArg.dPerChannel) === 0)
    store<f32>(dD + ((<usize>unit) << 2), dSkip);
  const before = ptr(args, ScanGradArg.dbefore);
  if (before === 0) return;
  for (let p: i32 = 0; p < dim; p++) {
    const to = before + own + ((<usize>(p * states)) << 2);
    for (let n: i32 = 0; n < states; n += 4) {
      const at = (<usize>n) << 2;
      store4(to + at, v128.load(ds + <usize>p * nRow + at), states - n);
    }
  }
}

/** Copies a state (zeros if its address is 0) with padded rows and columns. */
function readState(from: usize, to: usize, dim: i32, states: i32, nRow: usize): void {
  memory.fill(to, 0, <usize>((dim + 3) & ~3) * nRow);
  if (from !== 0) copied(from, (<usize>states) << 2, dim, states, to, nRow, 0);
}

/** dt, decays, and cumulative decays from a chunk's start and to its end. */
function readDecays(args: usize, work: usize, row: i32, head: i32): void {
  const length = int(args, ScanArg.length);
  const dts = ptr(work, ScanGradTable.dts);
  const decays = ptr(work, ScanGradTable.decays);
  const up = ptr(work, ScanGradTable.up);
  const down = ptr(work, ScanGradTable.down);
  // Padding tokens of the last vector are zeros.
  memory.fill(dts, 0, ptr(work, ScanGradTable.dLog) - dts);
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
  const length = int(args, ScanArg.length);
  const dim = int(args, ScanArg.headDim);
  const states = int(args, ScanArg.dState);
  const pRow = ptr(work, ScanGradTable.pRow);
  const nRow = ptr(work, ScanGradTable.nRow);
  const stateBytes = (pRow >> 2) * nRow;
  const factors = ptr(work, ScanGradTable.sums);
  const u = ptr(work, ScanGradTable.upDy);
  const before = ptr(args, ScanArg.before);
  const own = (<usize>((row * int(args, ScanArg.heads) + head) * dim * states)) << 2;
  let state = ptr(work, ScanGradTable.states);
  readState(before === 0 ? 0 : before + own, state, dim, states, nRow);
  for (let t: i32 = 0; t + CHUNK < length; t += CHUNK) {
    const at = (<usize>t) << 2;
    for (let i: usize = 0; i < CHUNK_ROW; i += 16) {
      const down = v128.load(ptr(work, ScanGradTable.down) + at + i);
      v128.store(factors + i, f32x4.mul(down, v128.load(ptr(work, ScanGradTable.dts) + at + i)));
    }
    const xStride = ptr(args, ScanArg.xStride) << 2;
    const x =
      ptr(args, ScanArg.x) + <usize>(row * length + t) * xStride + ((<usize>(head * dim)) << 2);
    copied(x, xStride, CHUNK, dim, u, pRow, factors);
    const next = state + stateBytes;
    scaled(state, next, stateBytes, load<f32>(ptr(work, ScanGradTable.up) + at + CHUNK_ROW - 4));
    const b = ptr(work, ScanGradTable.b) + <usize>t * nRow;
    const rows = <i32>(pRow >> 2);
    product(u, pRow, b, nRow, next, nRow, rows, <i32>(nRow >> 2), CHUNK, Part.Whole, false);
    state = next;
  }
}
