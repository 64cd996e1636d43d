// Selecting a backend by name: unknown names, and names that are not available in pages.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { BackendError } from '../src/errors.js';
import { useBackend } from '../src/index.js';

describe('useBackend', () => {
  const versions = Object.getOwnPropertyDescriptor(process, 'versions');
  afterEach(() => {
    if (versions) Object.defineProperty(process, 'versions', versions);
  });

  async function messageOf(name: string): Promise<string> {
    const before = tf.getBackend();
    const error: unknown = await useBackend(name).catch((e: unknown) => e);
    expect(tf.getBackend()).to.equal(before);
    if (error instanceof BackendError) return error.message;
    throw new Error(`expected a BackendError for '${name}', found ${error}`);
  }

  it('refuses unknown names, including property names of every object', async () => {
    for (const name of ['abacus', 'toString', '__proto__', 'constructor', 'hasOwnProperty']) {
      expect(await messageOf(name), name).to.match(
        /^backend: expected one of auto, .*cuda.*, found '/,
      );
    }
  });

  it('starts a backend that is asked for twice at once', async () => {
    const before = tf.getBackend();
    const backend = new tf.KernelBackend();
    backend.dispose = () => {};
    tf.registerBackend('slow', () => new Promise((resolve) => setTimeout(resolve, 5, backend)));
    try {
      expect(await Promise.all([useBackend('slow'), useBackend('slow')])).to.deep.equal([
        ...['slow', 'slow'],
      ]);
      expect(tf.getBackend()).to.equal('slow');
    } finally {
      tf.removeBackend('slow');
      if (before) await useBackend(before);
    }
  });

  it('reports that native backends need Node, and does not offer them in a page', async () => {
    Object.defineProperty(process, 'versions', { value: {}, configurable: true });
    // Another test file in this process may have registered one.
    const unregistered = ['cuda', 'tensorflow'].filter(
      (name) => !tf.engine().registryFactory[name],
    );
    for (const name of unregistered) {
      expect(await messageOf(name)).to.match(
        new RegExp(`^the backend '${name}' needs Node; known in this page: `),
      );
      expect(await messageOf('abacus')).not.to.contain(name);
    }
  });
});
