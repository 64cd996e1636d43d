// The layout of the scratch memory in the gradient of the scan.
import { int } from '../shared/arguments';
import { ScanArg, ScanGradTable } from './args';

/** Tokens per chunk; see also ssd_scan_grad.ts. */
export const CHUNK: i32 = 32;
/** The size of that many values in bytes. */
export const CHUNK_ROW: usize = 128;

const TABLE_BYTES: usize = 128;

/** Fills the table: arrays follow each other in the memory after it. */
export function layOut(args: usize, work: usize): void {
  const chunks = <usize>((int(args, ScanArg.length) + CHUNK - 1) / CHUNK);
  const tokens = chunks * CHUNK_ROW;
  const pRow = (<usize>((int(args, ScanArg.headDim) + 3) & ~3)) << 2;
  const nRow = (<usize>((int(args, ScanArg.dState) + 3) & ~3)) << 2;
  const state = (pRow >> 2) * nRow;
  let next = work + TABLE_BYTES;
  for (let i: usize = ScanGradTable.dts; i <= <usize>ScanGradTable.dLog; i++)
    next = place(work, i, next, tokens);
  for (let i: usize = ScanGradTable.b; i <= <usize>ScanGradTable.bT; i++)
    next = place(work, i, next, (tokens >> 2) * nRow);
  for (let i: usize = ScanGradTable.g; i <= <usize>ScanGradTable.dg; i++)
    next = place(work, i, next, tokens * CHUNK);
  next = place(work, ScanGradTable.states, next, chunks * state);
  for (let i: usize = ScanGradTable.ds; i <= <usize>ScanGradTable.dsT; i++)
    next = place(work, i, next, state);
  for (let i: usize = ScanGradTable.cT; i <= <usize>ScanGradTable.part; i++)
    next = place(work, i, next, nRow * CHUNK);
  for (let i: usize = ScanGradTable.dy; i <= <usize>ScanGradTable.uT; i++)
    next = place(work, i, next, pRow * CHUNK);
  for (let i: usize = ScanGradTable.l; i <= <usize>ScanGradTable.dm; i++)
    next = place(work, i, next, CHUNK_ROW * CHUNK);
  place(work, ScanGradTable.sums, next, CHUNK_ROW);
  store<usize>(work + (ScanGradTable.pRow << 2), pRow);
  store<usize>(work + (ScanGradTable.nRow << 2), nRow);
}

function place(work: usize, index: usize, at: usize, bytes: usize): usize {
  store<usize>(work + (index << 2), at);
  return at + bytes;
}
