import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

/** Where the packages of a program without a file are found. */
const cwd = fileURLToPath(new URL('../../../../', import.meta.url));

describe('simd in a program on the command line', () => {
  for (const type of [['--input-type=module'], ['--input-type', 'module']]) {
    it(`has its threads: ${type.join(' ')}`, async () => {
      const program = `
        import { useBackend } from '@rene-js/layers';
        import * as tf from '@tensorflow/tfjs-core';
        await useBackend('simd');
        const big = tf.ones([256, 256]);
        // A worker that cannot start says so by then.
        await new Promise((resolve) => setTimeout(resolve, 500));
        console.log((await tf.matMul(big, big).data())[0]);`;
      const env = { ...process.env, RENE_THREADS: '2' };
      const args = [...type, '-e', program];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd, env });
      expect([stdout, stderr]).to.deep.equal(['256\n', '']);
    });
  }
});
