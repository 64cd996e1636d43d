// Shared data of a group's heads in the gradient of the scan: B, C, G = C B^T, and their gradients.
import { int, ptr } from '../shared/arguments';
import { store4 } from '../shared/math';
import { copied, Part, product, transposed } from '../shared/small_matrix';
import { ScanArg, ScanGradArg, ScanGradTable } from './args';
import { CHUNK, CHUNK_ROW } from './grad_layout';

/** Prepares B and C of a group of a sequence, B transposed, G, and zeros for their gradients. */
export function readGroup(args: usize, work: usize, row: i32, group: i32): void {
  const length = int(args, ScanArg.length);
  const states = int(args, ScanArg.dState);
  const stride = (<usize>(int(args, ScanArg.groups) * states)) << 2;
  const from = <usize>(row * length) * stride + ((<usize>(group * states)) << 2);
  const nRow = ptr(work, ScanGradTable.nRow);
  const b = ptr(work, ScanGradTable.b);
  const c = ptr(work, ScanGradTable.c);
  const ct = ptr(work, ScanGradTable.cT);
  copied(ptr(args, ScanArg.B) + from, stride, length, states, b, nRow, 0);
  copied(ptr(args, ScanArg.C) + from, stride, length, states, c, nRow, 0);
  for (let t: i32 = 0; t < length; t += CHUNK) {
    const count = min(CHUNK, length - t);
    const padded = (count + 3) & ~3;
    const at = <usize>t * nRow;
    const bt = ptr(work, ScanGradTable.bT) + at;
    const g = ptr(work, ScanGradTable.g) + <usize>t * CHUNK_ROW;
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
  memory.fill(ptr(work, ScanGradTable.db), 0, <usize>length * nRow);
  memory.fill(ptr(work, ScanGradTable.dc), 0, <usize>length * nRow);
  memory.fill(
    ptr(work, ScanGradTable.dg),
    0,
    <usize>((length + CHUNK - 1) / CHUNK) * CHUNK * CHUNK_ROW,
  );
}

/** Adds the gradients of B and C through G to those of the heads, and writes the unit's partial sums. */
export function writeGroup(args: usize, work: usize, unit: i32): void {
  const length = int(args, ScanArg.length);
  const states = int(args, ScanArg.dState);
  const nRow = ptr(work, ScanGradTable.nRow);
  const columns = (states + 3) & ~3;
  const dgt = ptr(work, ScanGradTable.dm);
  for (let t: i32 = 0; t < length; t += CHUNK) {
    const count = min(CHUNK, length - t);
    const padded = (count + 3) & ~3;
    const at = <usize>t * nRow;
    const dg = ptr(work, ScanGradTable.dg) + <usize>t * CHUNK_ROW;
    const b = ptr(work, ScanGradTable.b) + at;
    const c = ptr(work, ScanGradTable.c) + at;
    const db = ptr(work, ScanGradTable.db) + at;
    const dc = ptr(work, ScanGradTable.dc) + at;
    product(dg, CHUNK_ROW, c, nRow, db, nRow, padded, columns, count, Part.FromDiagonal, false);
    transposed(dg, CHUNK_ROW, count, count, dgt, CHUNK_ROW, 0);
    product(dgt, CHUNK_ROW, b, nRow, dc, nRow, padded, columns, count, Part.ToDiagonal, false);
  }
  const perRow = int(args, ScanArg.groups) * int(args, ScanGradArg.blocks);
  const stride = (<usize>(perRow * states)) << 2;
  const to =
    <usize>(unit / perRow) * <usize>length * stride + ((<usize>((unit % perRow) * states)) << 2);
  for (let t: usize = 0; t < <usize>length; t++) {
    for (let n: i32 = 0; n < states; n += 4) {
      const at = (<usize>n) << 2;
      const out = to + t * stride + at;
      store4(
        ptr(args, ScanGradArg.dB) + out,
        v128.load(ptr(work, ScanGradTable.db) + t * nRow + at),
        states - n,
      );
      store4(
        ptr(args, ScanGradArg.dC) + out,
        v128.load(ptr(work, ScanGradTable.dc) + t * nRow + at),
        states - n,
      );
    }
  }
}
