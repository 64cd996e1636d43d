// Fingerprints of models, which prevent a state from being continued by another model.
import type { Parameter } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { blueprintOf, modelConfigToJson } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';

/**
 * SHA-256, in hex, of the configuration and of all vectors (norms, convolutions, A_log, dt_bias, D). They
 * are f32 in every dtype of the weights.
 */
export async function fingerprint(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Parameter>,
): Promise<string> {
  const parts = [new TextEncoder().encode(JSON.stringify(modelConfigToJson(config)))];
  const named = vectors(config, parameters);
  for (const [name, parameter] of named.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const values = await parameter.data<'float32'>();
    parts.push(new TextEncoder().encode(name));
    // A copy, since a hash does not accept shared memory.
    parts.push(new Uint8Array(Float32Array.from(values).buffer));
  }
  const digest = await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The vectors, keyed by their names in a checkpoint, except those that the layers hold joined or scaled. */
function vectors(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Parameter>,
): [string, tf.Tensor][] {
  const { parameters: derived = [] } = blueprintOf(config);
  const names = new Map(
    derived.flatMap(({ name, slices: [slice, ...others] }) =>
      slice?.scale === 1 && others.length === 0 ? [[name, slice.tensor] as const] : [],
    ),
  );
  const isDerived = new Set(
    derived.flatMap(({ name, slices }) => [name, ...slices.map((s) => s.tensor)]),
  );
  const isWhole = new Set(names.values());
  return [...parameters].flatMap(([name, parameter]): [string, tf.Tensor][] => {
    if (!(parameter instanceof tf.Tensor)) return [];
    const inFile = names.get(name) ?? name;
    return isDerived.has(name) && !isWhole.has(inFile) ? [] : [[inFile, parameter]];
  });
}
