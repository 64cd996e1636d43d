// Silences the notices that tfjs prints on first use, during one call.
import * as tf from '@tensorflow/tfjs-core';

/** tfjs prints its notices unless it is in production mode. Errors are thrown either way. */
export function quietly<T>(run: () => T): T {
  const env = tf.env();
  const before = env.getBool('PROD');
  env.set('PROD', true);
  try {
    return run();
  } finally {
    env.set('PROD', before);
  }
}
