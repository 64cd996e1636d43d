// ssdScan compared with the recurrence, for any length, chunk length, groups, limits, and split of the
// sequence.
import { ssdScan } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { describeOnBackends, maxError, tidily } from '../backends.js';
import { type Draw, expectClose, type Numbers, property, range, size } from '../numbers.js';
import * as reference from '../reference.js';

const noLimit = [0, Number.POSITIVE_INFINITY] as const;

const anyScan = fc.record({
  batch: size(1, 3),
  length: size(1, 23),
  groups: size(1, 3),
  headsOfGroup: size(1, 3),
  dim: size(1, 4),
  n: size(1, 5),
  chunkSize: size(1, 9),
  skip: fc.constantFrom('none', 'head', 'channel'),
  biased: fc.boolean(),
  stateful: fc.boolean(),
  dtSoftplus: fc.boolean(),
  dtLimit: fc.constantFrom(
    noLimit,
    [0.2, 0.9] as const,
    [0, 0.5] as const,
    [0.4, Number.POSITIVE_INFINITY] as const,
    [0.3, 0.3] as const,
  ),
});
type Scan = typeof anyScan extends fc.Arbitrary<infer T> ? T : never;

function inputsOf(one: Scan, draw: Draw): reference.SsdInputs {
  const { batch, length, groups, headsOfGroup, dim, n, skip } = one;
  const heads = groups * headsOfGroup;
  // Without softplus, dt is used as is, so it must not be negative.
  const dt = draw
    .normal([batch, length, heads])
    .map((value) => (one.dtSoftplus ? value : Math.abs(value)));
  const A = draw.normal([heads]).map((value) => Math.fround(-Math.exp(value)));
  return {
    ...{ x: draw.normal([batch, length, heads, dim]), dt, A },
    B: draw.normal([batch, length, groups, n]),
    C: draw.normal([batch, length, groups, n]),
    D: skip === 'none' ? undefined : draw.normal(skip === 'head' ? [heads] : [heads, dim]),
    dtBias: one.biased && one.dtSoftplus ? draw.normal([heads]) : undefined,
    state: one.stateful ? draw.normal([batch, heads, dim, n]) : undefined,
  };
}

/** The op on tokens [start, end) of the inputs, from a state. */
function scanPart(
  inputs: reference.SsdInputs,
  { dtSoftplus, dtLimit, chunkSize }: Pick<Scan, 'dtSoftplus' | 'dtLimit' | 'chunkSize'>,
  [start, end]: readonly [number, number],
  state: tf.Tensor | undefined,
): { y: tf.Tensor; state: tf.Tensor } {
  const part = (numbers: Numbers) => tokens(numbers.tensor(), start, end);
  const { x, dt, A, B, C, D, dtBias } = inputs;
  const out = ssdScan(part(x), part(dt), A.tensor(), part(B), part(C), {
    ...{ D: D?.tensor(), dtBias: dtBias?.tensor(), state },
    ...{ dtSoftplus, dtLimit, chunkSize, returnState: true },
  });
  if (!out.state) throw new Error('no state was returned');
  return { y: out.y, state: out.state };
}

const tokens = (t: tf.Tensor, start: number, end: number) =>
  tf.slice(
    t,
    t.shape.map((_, axis) => (axis === 1 ? start : 0)),
    t.shape.map((axis, i) => (i === 1 ? end - start : axis)),
  );

describeOnBackends('ssdScan', () => {
  property('is the recurrence, at any length and chunk', anyScan, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const expected = reference.ssdScan(inputs, one.dtLimit, one.dtSoftplus);
    const actual = scanPart(inputs, one, [0, one.length], inputs.state?.tensor());
    await expectClose(actual.y, expected.y, 'y');
    await expectClose(actual.state, expected.state, 'state');
  });

  property('goes on from a state wherever it is cut', anyScan, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const expected = reference.ssdScan(inputs, one.dtLimit, one.dtSoftplus);
    let state = inputs.state?.tensor();
    let start = 0;
    const parts = draw.parts(one.length).map((length) => {
      const out = scanPart(inputs, one, [start, start + length], state);
      start += length;
      state = out.state;
      return out.y;
    });
    await expectClose(tf.concat(parts, 1), expected.y, 'y');
    await expectClose(state, expected.state, 'state');
  });

  property('is the same one token at a time', anyScan, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const whole = scanPart(inputs, one, [0, one.length], inputs.state?.tensor());
    let state = inputs.state?.tensor();
    const steps = range(one.length).map((t) => {
      const out = scanPart(inputs, one, [t, t + 1], state);
      state = out.state;
      return out.y;
    });
    expect(await maxError(tf.concat(steps, 1), whole.y)).to.be.below(5e-5);
    expect(await maxError(state ?? whole.y, whole.state)).to.be.below(5e-5);
  });

  property(
    'keeps its digits where steps are large and small in one chunk',
    fc.record({ length: size(60, 130), steep: fc.constantFrom(1, 16, 64) }),
    async ({ length, steep }, draw) => {
      const inputs = {
        x: draw.normal([1, length, 2, 3]),
        dt: draw.normal([1, length, 2], 6),
        A: draw.normal([2]).map((value) => Math.fround(-steep * Math.min(1, Math.abs(value)))),
        B: draw.normal([1, length, 1, 4]),
        C: draw.normal([1, length, 1, 4]),
      };
      const options = { dtSoftplus: true, dtLimit: noLimit, chunkSize: 64 };
      const actual = scanPart(inputs, options, [0, length], undefined);
      const expected = reference.ssdScan(inputs);
      await expectClose(actual.y, expected.y, 'y', 2e-6);
      await expectClose(actual.state, expected.state, 'state', 2e-6);
    },
    8,
  );

  it('stays finite when the decays of a long chunk overflow', () =>
    tidily(async () => {
      const length = 64;
      const x = tf.ones([1, length, 1, 2]);
      const BC = tf.ones([1, length, 1, 2]);
      const dt = tf.fill([1, length, 1], 10);
      const { y } = ssdScan(x, dt, tf.tensor1d([-16]), BC, BC, { chunkSize: length });
      const gradient = tf.grad((t) => tf.sum(ssdScan(x, t, tf.tensor1d([-16]), BC, BC).y))(dt);
      for (const value of [...(await y.data()), ...(await gradient.data())]) {
        expect(Number.isFinite(value)).to.equal(true);
      }
    }));

  it('softplus is exact for large and small dt', function () {
    // Its log1p is log(1 + x), which loses small values.
    if (tf.getBackend() === 'wasm') this.skip();
    return tidily(async () => {
      const values = [-60, -30, -1, 0, 1, 19.9, 20.1, 60, 100];
      const one = (t: number) => {
        const ones = tf.ones([1, 1, 1, 1]);
        return ssdScan(ones, tf.fill([1, 1, 1], t), tf.tensor1d([-1]), ones, ones).y;
      };
      for (const value of values) {
        const [y = Number.NaN] = await one(value).data();
        expect(y / reference.softplus(value), String(value)).to.be.closeTo(1, 1e-5);
      }
    });
  });
});
