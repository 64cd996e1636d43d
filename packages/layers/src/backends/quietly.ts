// Silences what tfjs prints to newcomers, for the length of one call.
import * as tf from '@tensorflow/tfjs-core';

/** tfjs prints its notices unless in production mode; errors are thrown either way. */
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
