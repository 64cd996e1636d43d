// Fingerprints of models, which prevent that a state is continued by another model.
import type { Parameter } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { ReneConfig } from '../config.js';
import { configToJson } from '../config_json.js';

/**
 * SHA-256, in hex, of the configuration and of all vectors (norms, convolutions, A_log, dt_bias, D). They
 * are f32 in every dtype of the weights.
 */
export async function fingerprint(
  config: ReneConfig,
  parameters: ReadonlyMap<string, Parameter>,
): Promise<string> {
  const parts = [new TextEncoder().encode(JSON.stringify(configToJson(config)))];
  for (const [name, parameter] of [...parameters].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!(parameter instanceof tf.Tensor)) continue;
    const values = await parameter.data<'float32'>();
    parts.push(new TextEncoder().encode(name));
    // A copy, since a hash does not accept shared memory.
    parts.push(new Uint8Array(Float32Array.from(values).buffer));
  }
  const digest = await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
