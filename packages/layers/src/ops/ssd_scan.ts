// ssdScan: the selective state space of Mamba-2 (state-space duality, arXiv 2405.21060).
import type * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import { output, runKernel } from '../registry.js';
import { checkInteger, ShapeChecker } from './checks.js';

/** Options of ssdScan. */
export interface SsdScanOptions {
  /** The skip connection, per head (H) or per channel (H, P). Default: none. */
  D?: tf.Tensor | undefined;
  /** (H), added to dt before softplus. */
  dtBias?: tf.Tensor | undefined;
  /** (B, H, P, N), the state before x. Default: zeros. */
  state?: tf.Tensor | undefined;
  /** Whether to apply softplus to dt. Default: true. */
  dtSoftplus?: boolean;
  /** dt is clamped to [min, max] after softplus. Default: no limits. */
  dtLimit?: readonly [min: number, max: number];
  /** Tokens per chunk of the matrix form; affects speed only. Default: 64. */
  chunkSize?: number;
  /** Also return the state after x. Default: false. */
  returnState?: boolean;
}

/**
 * For each head, with dt = clamp(softplus(dt + dtBias)):
 *
 *     state[t] = exp(dt[t] A) state[t-1] + dt[t] x[t] B[t]^T
 *     y[t]     = state[t] C[t] + D x[t]
 *
 * Long inputs are computed in chunks of matrix products (cost linear in length), one token by the
 * recurrence itself.
 *
 * @param x (B, L, H, P)
 * @param dt (B, L, H)
 * @param A (H), negative (-exp(A_log))
 * @param B (B, L, G, N); head h reads group floor(h / (H / G))
 * @param C (B, L, G, N)
 * @returns y (B, L, H, P) and, if asked for, state (B, H, P, N)
 */
export function ssdScan(
  x: tf.Tensor,
  dt: tf.Tensor,
  A: tf.Tensor,
  B: tf.Tensor,
  C: tf.Tensor,
  options: SsdScanOptions = {},
): { y: tf.Tensor; state?: tf.Tensor } {
  const { D, dtBias, state, dtSoftplus = true, chunkSize = 64, returnState = false } = options;
  const [dtMin, dtMax] = options.dtLimit ?? [0, Number.POSITIVE_INFINITY];
  const shapes = new ShapeChecker('ssdScan');
  shapes.check('x', x, ['B', 'L', 'H', 'P']);
  shapes.check('dt', dt, ['B', 'L', 'H']);
  shapes.check('A', A, ['H']);
  shapes.check('B', B, ['B', 'L', 'G', 'N']);
  shapes.check('C', C, ['B', 'L', 'G', 'N']);
  if (D) shapes.check('D', D, D.rank === 1 ? ['H'] : ['H', 'P']);
  if (dtBias) shapes.check('dtBias', dtBias, ['H']);
  if (state) shapes.check('state', state, ['B', 'H', 'P', 'N']);
  checkInteger('ssdScan: chunkSize', chunkSize, 1);
  if (shapes.size('H') % shapes.size('G') !== 0) {
    throw new InvalidArgumentError(
      'ssdScan: B',
      `a number of groups that divides the ${shapes.size('H')} heads`,
      String(shapes.size('G')),
    );
  }
  if (!(dtMin <= dtMax)) {
    throw new InvalidArgumentError('ssdScan: dtLimit', 'min <= max', `[${dtMin}, ${dtMax}]`);
  }
  const outputs = runKernel(
    'SsdScan',
    { x, dt, A, B, C, ...(D && { D }), ...(dtBias && { dtBias }), ...(state && { state }) },
    { dtSoftplus, dtMin, dtMax, chunkSize, returnState },
  );
  const y = output(outputs, 0);
  return returnState ? { y, state: output(outputs, 1) } : { y };
}
