// Counting and reporting of a benchmark: bytes of weights, the table, the chart.
import { initParameters, useBackend } from '@rene-js/layers';
import { type ReneConfigOptions, reneConfig } from '@rene-js/rene';
import { modelParameters } from '@rene-js/rene/internal';
import { expect } from 'chai';
import { benchChart } from '../../src/bench/chart.js';
import { checkpointBytes, mainFormat } from '../../src/bench/checkpoint_bytes.js';
import type { BenchResult } from '../../src/bench/measure.js';
import { benchSetting, benchTable } from '../../src/bench/report.js';

const result: BenchResult = {
  ...{ prompt: 512, tokens: 64, batch: 1, repeat: 3 },
  machine: 'A <fast> processor, 2 cores',
  node: 'v20.1.0',
  backend: 'simd',
  dtype: 'int8',
  parameters: 1.3e9,
  threads: 2,
  relaxedSimd: true,
  loadSeconds: 5.25,
  firstTokenSeconds: 8,
  prefillTokensPerSecond: 64,
  decodeTokensPerSecond: 20,
  peakMemoryBytes: 1.6e9,
  weightBytes: 1.38e9,
  readBandwidth: 34.5e9,
  shareOfBandwidth: 0.8,
};

describe('bench: bytes of weights', () => {
  async function bytes(options: ReneConfigOptions, format: 'f32' | 'bf16' | 'int8' | 'int4') {
    await useBackend('simd');
    const config = reneConfig({ dModel: 64, nLayer: 1, vocabSize: 96, ...options });
    const parameters = await initParameters(modelParameters(config), 1, { format, groupSize: 32 });
    expect(mainFormat(parameters)).to.equal(format);
    const found = checkpointBytes(config, parameters);
    for (const parameter of parameters.values()) {
      if ('layout' in parameter) parameter.tensor.dispose();
      else parameter.dispose();
    }
    return found;
  }

  it('count quantised values with a scale and an offset per group', async () => {
    // in_proj 2 x 128 + 2 x 128 + 2 rows, out_proj 64, the embedding 96, counted once.
    const weights = (2 * 128 + 2 * 128 + 2) * 64 + 64 * 128 + 96 * 64;
    expect(await bytes({}, 'f32')).to.equal(weights * 4);
    expect(await bytes({}, 'bf16')).to.equal(weights * 2);
    expect(await bytes({}, 'int8')).to.equal((weights * 9) / 8);
    expect(await bytes({}, 'int4')).to.equal((weights * 5) / 8);
    // Of an embedding that is not tied to the head, a token reads one row.
    expect(await bytes({ tieWordEmbeddings: false }, 'int8')).to.equal((weights * 9) / 8);
  });
});

describe('bench: report', () => {
  it('prints a table with the share of the bandwidth limit', () => {
    const [head = '', rule = '', row = ''] = benchTable([result]);
    expect(head.split(/ {2,}/).map((title) => title.trim())).to.include.members(['dtype', 'share']);
    expect(row).to.match(/int8 .* 5\.3 .* 20\.0 .* 1\.38 GB .* 1\.60 GB .* 34\.5 .* 0\.80$/);
    expect(new Set([head.length, rule.length, row.length]).size).to.equal(1);
    const unknown = { ...result, readBandwidth: null, shareOfBandwidth: null };
    expect(benchTable([unknown])[2]).to.match(/- +-$/);
    const setting = benchSetting({ ...result, batch: 8, relaxedSimd: false });
    expect(setting).to.contain('on 2 threads, plain SIMD; prompt 512, 64 tokens decoded, batch 8');
  });

  it('draws bars in proportion to the speeds, and escapes titles', () => {
    const half = {
      ...result,
      dtype: 'bf16' as const,
      decodeTokensPerSecond: 10,
      weightBytes: 2.76e9,
    };
    const svg = benchChart([result, half], 'a & b');
    expect(svg).to.contain('a &#38; b').and.to.contain('A &#60;fast&#62; processor');
    const widths = [...svg.matchAll(/<rect x="64"[^>]* width="([\d.]+)"[^>]*fill="#2458c5"/g)].map(
      ([, width]) => Number(width),
    );
    const [, fast = 0, slow = 0] = widths; // the first one belongs to the legend
    expect(slow / fast).to.be.closeTo(0.5, 0.01);
    expect(svg).to.contain('80 % of 25.0');
  });
});
