// Limits of sequences in progress: in all, and for one client.
import { expect } from 'chai';
import { Admission } from '../../src/serving/admission.js';
import { ApiError } from '../../src/serving/api_error.js';

describe('admission', () => {
  let load = { active: 0, waiting: 0, slots: 2 };
  const engine = { submit: () => () => {}, load: () => load };
  beforeEach(() => {
    load = { active: 0, waiting: 0, slots: 2 };
  });

  it('leaves a quarter of the waiting places to other clients', () => {
    const admission = new Admission(engine, 8);
    expect(admission.clientLimit).to.equal(8);
    const own = Array.from({ length: 4 }, () => admission.enter('a', 2));
    expect(() => admission.enter('a', 1)).to.throw(ApiError, /8 sequences of this client/);
    const other = admission.enter('b', 2);
    expect(() => admission.enter('c', 1)).to.throw(ApiError, /10 sequences wait already/);
    own[0]?.leave();
    own[0]?.leave(); // counted once
    expect(() => admission.enter('a', 3)).to.throw(ApiError, /6 sequences of this client|wait/);
    admission.enter('a', 2).leave();
    other.leave();
  });

  it('counts a sequence once, here or in the engine', () => {
    const admission = new Admission(engine, 2);
    const first = admission.enter('a', 2);
    load = { active: 2, waiting: 0, slots: 2 };
    first.prepared();
    first.prepared();
    admission.enter('b', 2);
    expect(() => admission.enter('c', 1)).to.throw(ApiError, /try again later/);
  });
});
