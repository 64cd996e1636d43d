// Printed rates are consistent with the printed counts and durations.

import { formatRate, formatSeconds } from '@rene-js/rene/internal';
import { expect } from 'chai';
import fc from 'fast-check';
import { benchTable } from '../../src/bench/report.js';

describe('formatSeconds and formatRate', () => {
  it('print a rate that is the count divided by the printed seconds', () => {
    const seconds = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(seconds, fc.integer({ min: 1, max: 1e6 }), (value, count) => {
        const printed = formatSeconds(value);
        expect(printed).to.match(/^\d+\.\d+$/);
        expect(Number(printed)).to.be.above(0);
        if (value >= 0.0001) expect(Number(printed)).to.be.closeTo(value, value * 0.0006);
        expect(formatRate(count, printed)).to.equal((count / Number(printed)).toFixed(1));
      }),
    );
  });

  it('format the table of rene bench', () => {
    const result = {
      ...{ prompt: 512, tokens: 64, batch: 3, repeat: 1, machine: 'm', node: 'v20' },
      ...{ backend: 'simd', dtype: 'f32' as const, parameters: 1, threads: 1, relaxedSimd: true },
      ...{ loadSeconds: 1, decodeTokensPerSecond: 5, peakMemoryBytes: 1, weightBytes: 1 },
      ...{ readBandwidth: null, shareOfBandwidth: null },
    };
    for (const firstTokenSeconds of [0.0349, 0.004, 1.23456, 98.765]) {
      const prefillTokensPerSecond = 1536 / firstTokenSeconds;
      const [, , row = ''] = benchTable([{ ...result, firstTokenSeconds, prefillTokensPerSecond }]);
      const [, , seconds, rate] = row.trim().split(/ {2,}/);
      expect(rate).to.equal((1536 / Number(seconds)).toFixed(1));
    }
  });
});
