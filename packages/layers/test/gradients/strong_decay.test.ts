// The gradient of ssdScan with strong decay, compared with the backward recurrence in float64.
import { ssdScan } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describeOnBackends } from '../backends.js';
import { type Draw, expectClose, type Numbers, property, size } from '../numbers.js';
import * as reference from '../reference.js';

interface Scan {
  batch: number;
  length: number;
  groups: number;
  headsOfGroup: number;
  dim: number;
  n: number;
  chunkSize: number;
  /** Largest decay of a token: it multiplies the state by exp(-steep). */
  steep: number;
  stateful: boolean;
  skip: boolean;
  biased: boolean;
  dtLimit: readonly [number, number];
}

const noLimit = [0, Number.POSITIVE_INFINITY] as const;

async function expectGradients(one: Scan, draw: Draw): Promise<void> {
  const { batch, length, groups, headsOfGroup, dim, n, chunkSize, steep, dtLimit } = one;
  const heads = groups * headsOfGroup;
  const dt = draw.normal([batch, length, heads], 2);
  const bias = one.biased ? draw.normal([heads], 0.1) : undefined;
  const largest = Math.min(
    dtLimit[1],
    Math.max(...dt.values.map((value) => reference.softplus(value + 0.4))),
  );
  const inputs: reference.SsdInputs = {
    x: draw.normal([batch, length, heads, dim]),
    dt,
    // The first head decays by up to `steep` per token, the others by a fraction of that.
    A: draw
      .normal([heads])
      .map((value) => -Math.min(1, Math.abs(value)))
      .map((value) => Math.fround((value * steep) / largest)),
    B: draw.normal([batch, length, groups, n]),
    C: draw.normal([batch, length, groups, n]),
    D: one.skip ? draw.normal([heads]) : undefined,
    dtBias: bias,
    state: one.stateful ? draw.normal([batch, heads, dim, n]) : undefined,
  };
  inputs.A.set(Math.fround(-steep / largest), 0);
  const dy = draw.normal([batch, length, heads, dim]);
  const dstate = one.stateful ? draw.normal([batch, heads, dim, n]) : undefined;

  const expected = reference.ssdScanGrad(inputs, dy, dstate, dtLimit);
  const given = Object.entries(inputs).flatMap(([name, numbers]: [string, Numbers | undefined]) =>
    numbers ? [{ name, tensor: numbers.tensor() }] : [],
  );
  const { grads } = tf.engine().gradients(
    () => {
      const { x, dt, A, B, C, ...optional } = Object.fromEntries(
        given.map(({ name, tensor }) => [name, tensor]),
      );
      if (!x || !dt || !A || !B || !C) throw new Error('an input is missing');
      const options = { ...optional, dtLimit, chunkSize, returnState: one.stateful };
      const { y, state } = ssdScan(x, dt, A, B, C, options);
      const ofY = tf.sum(tf.mul(y, dy.tensor()));
      return state && dstate ? tf.add(ofY, tf.sum(tf.mul(state, dstate.tensor()))) : ofY;
    },
    given.map(({ tensor }) => tensor),
  );
  for (const [i, { name }] of given.entries()) {
    const wanted = new Map(Object.entries(expected)).get(name);
    await expectClose(grads[i], wanted, `gradient of ${name}`);
  }
}

describeOnBackends('gradients at strong decay', () => {
  property(
    'ssdScan of 320 tokens that decay by up to exp(-46) each',
    fc.record({
      ...{ batch: fc.constant(1), length: fc.constant(320), groups: size(1, 2) },
      ...{ headsOfGroup: size(1, 2), dim: size(1, 6), n: size(1, 6) },
      chunkSize: fc.constantFrom(64, 128, 256),
      steep: fc.constantFrom(6, 20, 46),
      stateful: fc.boolean(),
      ...{ skip: fc.constant(false), biased: fc.constant(false), dtLimit: fc.constant(noLimit) },
    }),
    expectGradients,
    5,
  );

  property(
    'ssdScan of any shape, with states, biases and limits',
    fc.record({
      ...{ batch: size(1, 3), length: size(1, 120), groups: size(1, 3) },
      ...{ headsOfGroup: size(1, 3), dim: size(1, 5), n: size(1, 5) },
      chunkSize: size(1, 80),
      steep: fc.double({ min: 0.5, max: 90, noNaN: true }),
      ...{ stateful: fc.boolean(), skip: fc.boolean(), biased: fc.boolean() },
      dtLimit: fc.constantFrom(noLimit, [0.1, 3] as const),
    }),
    expectGradients,
    10,
  );
});
