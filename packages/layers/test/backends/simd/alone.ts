// A separate process: computes on 'simd', is idle for a while, prints what it measured, and ends unless a
// thread keeps it alive. The argument 'unshared' simulates a browser without cross-origin isolation.
import * as tf from '@tensorflow/tfjs-core';

if (process.argv[2] === 'unshared') Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
const { registerSimdBackend, simdInfo } = await import('../../../src/backends/simd/index.js');
registerSimdBackend({ threads: 4, oversubscribe: true });
await tf.setBackend('simd');
const a = tf.ones([256, 256]);
for (let i = 0; i < 20; i++) tf.matMul(a, a).dispose();
const sums = [...new Set(tf.matMul(a, a).dataSync())];

// Long enough for threads to fall asleep and for the engine's compilation, on a busy machine too.
let idleMilliseconds = Number.POSITIVE_INFINITY;
for (let i = 0; i < 20 && idleMilliseconds > 20; i++) {
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { user, system } = process.cpuUsage(before);
  idleMilliseconds = (user + system) / 1000;
}
const { threads } = simdInfo();
console.log(JSON.stringify({ threads, sums, idleMilliseconds }));
