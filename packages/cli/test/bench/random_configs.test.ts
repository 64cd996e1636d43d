import { blueprintOf, countParameters } from '@rene-js/rene/internal';
import { expect } from 'chai';
import { randomConfigs } from '../../src/bench/random_configs.js';
import { RANDOM_SIZES } from '../../src/commands/bench_options.js';

describe('sizes of rene bench', () => {
  /** Millions of parameters, as published. */
  const published: Record<string, [least: number, most: number]> = {
    '1.3b': [1290, 1310],
    tiny: [0, 10],
    'granite-4.0-h-350m': [335, 345],
    'granite-4.0-h-1b': [1440, 1520],
    'falcon-h1-0.5b': [510, 530],
    'mamba2-1.3b': [1340, 1350],
  };
  for (const name of RANDOM_SIZES) {
    it(`${name} has as many parameters as published`, () => {
      const config = randomConfigs[name]?.();
      if (!config) throw new Error(`${name}: no configuration`);
      const millions = countParameters(blueprintOf(config).tensors) / 1e6;
      const [least = 0, most = 0] = published[name] ?? [];
      expect(millions).to.be.within(least, most);
    });
  }

  it('each configuration has a name of the option', () => {
    expect(Object.keys(randomConfigs)).to.deep.equal([...RANDOM_SIZES]);
  });
});
