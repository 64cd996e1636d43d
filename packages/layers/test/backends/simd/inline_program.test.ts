import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

/** The folder from which an inline program resolves packages. */
const cwd = fileURLToPath(new URL('../../../../', import.meta.url));

describe('simd in a program on the command line (node -e)', () => {
  for (const type of [['--input-type=module'], ['--input-type', 'module']]) {
    it(`starts its threads: ${type.join(' ')}`, async () => {
      const program = `
        import { useBackend } from '@rene-js/layers';
        import * as tf from '@tensorflow/tfjs-core';
        await useBackend('simd');
        const big = tf.ones([256, 256]);
        // By then a worker that cannot start has reported it.
        await new Promise((resolve) => setTimeout(resolve, 500));
        console.log((await tf.matMul(big, big).data())[0]);`;
      const env = { ...process.env, RENE_THREADS: '2' };
      const args = [...type, '-e', program];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd, env });
      expect([stdout, stderr]).to.deep.equal(['256\n', '']);
    });
  }
});
