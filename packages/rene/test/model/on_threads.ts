// In a worker of its own: logits of rene-tiny in each format on workerData threads, posted back.
import { parentPort, workerData } from 'node:worker_threads';
import { registerSimdBackend, simdInfo } from '@rene-js/layers/simd';
import { ReneLMHeadModel } from '../../src/model.js';

registerSimdBackend({ threads: Number(workerData) });
const results: Float32Array[] = [];
for (const dtype of ['f32', 'bf16', 'int8', 'int4'] as const) {
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend: 'simd', dtype });
  if (simdInfo().threads !== workerData) throw new Error('the backend ignores its threads');
  const state = model.initialState(2);
  // Longer than the window of 128, so that a ring wraps.
  const ids = [0, 1].map((row) => Array.from({ length: 150 }, (_, i) => (i * 37 + row * 5) % 2000));
  model.forward(ids, { state, logitsToKeep: 1 }).dispose();
  const logits = model.forward([[7], [8]], { state });
  results.push(Float32Array.from(await logits.data()));
  logits.dispose();
  state.dispose();
  model.dispose();
}
parentPort?.postMessage(results);
