// In a worker: posts logits of rene-tiny in each format, with workerData as the backend's options, and the
// backend's description.
import { parentPort, workerData } from 'node:worker_threads';
import { registerSimdBackend, type SimdInfo, simdInfo } from '@rene-js/layers/simd';
import { ReneLMHeadModel } from '../../src/rene_model.js';

registerSimdBackend(workerData);
export interface Logits {
  info: SimdInfo;
  /** f32, bf16, int8, int4. */
  results: Float32Array[];
}

const results: Float32Array[] = [];
for (const dtype of ['f32', 'bf16', 'int8', 'int4'] as const) {
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend: 'simd', dtype });
  const state = model.initialState(2);
  // Longer than the window of 128, so that the cache wraps.
  const ids = [0, 1].map((row) => Array.from({ length: 150 }, (_, i) => (i * 37 + row * 5) % 2000));
  model.forward(ids, { state, logitsToKeep: 1 }).dispose();
  const logits = model.forward([[7], [8]], { state });
  results.push(Float32Array.from(await logits.data()));
  logits.dispose();
  state.dispose();
  model.dispose();
}
const logits: Logits = { info: simdInfo(), results };
parentPort?.postMessage(logits);
