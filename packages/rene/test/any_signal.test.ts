// Joined signals behave like AbortSignal.any.
import { expect } from 'chai';
import { anySignal, joined } from '../src/any_signal.js';

describe('anySignal', () => {
  for (const join of [anySignal, joined]) {
    it(`aborts with the first signal, with its reason (${join.name})`, () => {
      const [a, b] = [new AbortController(), new AbortController()];
      const signal = join([a.signal, b.signal]);
      expect(signal.aborted).to.equal(false);
      let events = 0;
      signal.addEventListener('abort', () => events++);
      const reason = new Error('b');
      b.abort(reason);
      a.abort(new Error('a'));
      expect([signal.aborted, signal.reason, events]).to.deep.equal([true, reason, 1]);
      expect(join([AbortSignal.abort(reason), new AbortController().signal]).reason).to.equal(
        reason,
      );
      expect(join([]).aborted).to.equal(false);
    });
  }

  it('needs no AbortSignal.any, which Node 20.0 to 20.2 lack', () => {
    const original = Object.getOwnPropertyDescriptor(AbortSignal, 'any');
    if (!original) return;
    Reflect.deleteProperty(AbortSignal, 'any');
    try {
      const reason = new Error('over');
      expect(anySignal([AbortSignal.abort(reason)]).reason).to.equal(reason);
    } finally {
      Object.defineProperty(AbortSignal, 'any', original);
    }
  });
});
