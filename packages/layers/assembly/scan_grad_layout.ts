// What the gradient of the scan works on: its arguments, and what stands where in the scratch memory.
import { int } from './math';

// Words 0 ... 23 are those of scan.ts (strides included; y is not used).
export const X: usize = 0;
export const X_STRIDE: usize = 1;
export const B: usize = 2;
export const C: usize = 4;
export const DT: usize = 6;
export const DT_STRIDE: usize = 7;
export const A: usize = 8;
export const D: usize = 9;
export const D_PER_CHANNEL: usize = 10;
export const DT_BIAS: usize = 11;
export const STATE_BEFORE: usize = 14;
export const LENGTH: usize = 16;
export const HEADS: usize = 17;
export const HEAD_DIM: usize = 18;
export const D_STATE: usize = 19;
export const GROUPS: usize = 20;
export const SOFTPLUS: usize = 21;
export const DT_MIN: usize = 22;
export const DT_MAX: usize = 23;
export const DY: usize = 24;
/** d(state after), 0: none. */
export const D_STATE_AFTER: usize = 25;
/** (B, L, H, P), (B, L, H) */
export const DX: usize = 26;
export const DDT: usize = 27;
/** Parts to be summed: (B, H); (B, L, G, BLOCKS, N) twice; (B, H, P) or (B, H), 0: not wanted. */
export const DA: usize = 28;
export const DB: usize = 29;
export const DC: usize = 30;
export const DD: usize = 31;
/** (B, H, P, N), 0: not wanted. */
export const D_STATE_BEFORE: usize = 32;
/** Blocks that the heads of a group are cut into. */
export const BLOCKS: usize = 33;

/** Tokens of a chunk; see also ssd_scan_grad.ts. */
export const CHUNK: i32 = 32;
/** Bytes of as many numbers. */
export const CHUNK_ROW: usize = 128;

// Words of the table of what stands where in the scratch memory. Of all tokens:
/** dt, the decays, up, down, gradient of the decay's logarithm. */
export const DTS: usize = 0;
export const DECAYS: usize = 1;
export const UP: usize = 2;
export const DOWN: usize = 3;
export const D_LOG: usize = 4;
/** (L, N) of the group, and their gradients. */
export const OWN_B: usize = 5;
export const OWN_C: usize = 6;
export const OWN_DB: usize = 7;
export const OWN_DC: usize = 8;
/** B transposed, a chunk (N, 32) after the other. */
export const BT: usize = 9;
/** A chunk (32, 32) after the other. */
export const G: usize = 10;
export const DG: usize = 11;
/** The head's states (P, N) before the chunks. */
export const STATES: usize = 12;
/** The gradient of the state (P, N), and transposed. */
export const DS: usize = 13;
export const DST: usize = 14;
// Of the present chunk:
/** (N, 32) and (32, N) */
export const CT: usize = 15;
export const PART: usize = 16;
/** dy, up dy, du: (32, P). */
export const OWN_DY: usize = 17;
export const UP_DY: usize = 18;
export const DU: usize = 19;
/** (P, 32) */
export const DYT: usize = 20;
export const UT: usize = 21;
/** (32, 32) */
export const L: usize = 22;
export const M: usize = 23;
export const DM: usize = 24;
/** 32 numbers */
export const SUMS: usize = 25;
/** Bytes of a row of P or N numbers, filled up to vectors. */
export const P_ROW: usize = 26;
export const N_ROW: usize = 27;
const TABLE_BYTES: usize = 128;

/** Fills the table; the memory behind it is given to one thing after the other. */
export function layOut(args: usize, work: usize): void {
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
