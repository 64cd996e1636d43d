// Free memory, also in Node 20.0 to 20.12, which lack process.availableMemory.
import { freemem } from 'node:os';
import { expect } from 'chai';
import { freeMemory } from '../../../src/internal.js';

describe('freeMemory', () => {
  it('needs no process.availableMemory', () => {
    const original = Object.getOwnPropertyDescriptor(process, 'availableMemory');
    if (original) Reflect.deleteProperty(process, 'availableMemory');
    try {
      expect(freeMemory())
        .to.be.within(0, freemem() * 2)
        .and.above(0);
    } finally {
      if (original) Object.defineProperty(process, 'availableMemory', original);
    }
    expect(freeMemory()).to.be.above(0);
  });
});
