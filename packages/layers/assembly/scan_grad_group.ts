// What the heads of a group share in the gradient of the scan: B, C, G = C B^T, and their gradients.
import { int, ptr, store4 } from './math';
import {
  B,
  BLOCKS,
  BT,
  C,
  CHUNK,
  CHUNK_ROW,
  CT,
  D_STATE,
  DB,
  DC,
  DG,
  DM,
  G,
  GROUPS,
  LENGTH,
  N_ROW,
  OWN_B,
  OWN_C,
  OWN_DB,
  OWN_DC,
} from './scan_grad_layout';
import { copied, Part, product, transposed } from './small_matrix';

/** B and C of a group of a row, B transposed, G; zeros for their gradients. */
export function readGroup(args: usize, work: usize, row: i32, group: i32): void {
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
export function writeGroup(args: usize, work: usize, unit: i32): void {
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
