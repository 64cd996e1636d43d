// Multipliers are folded into f32 tensors where that is exact, so that 16-bit and quantised matrices stay as they are.
import { readFile } from 'node:fs/promises';
import type { StoredMatrix } from '@rene-js/layers';
import { goldenPath } from '@rene-js/testing';
import { expect } from 'chai';
import { joined } from '../../src/architectures/derived_parameters.js';
import { blueprintOf, parseModelConfig } from '../../src/architectures/index.js';
import { asRecord, parseJson } from '../../src/json.js';

/** Multipliers as Falcon-H1 models publish them: those of z and dt are equal. */
const PUBLISHED = {
  attention_in_multiplier: 1,
  attention_out_multiplier: 0.9375,
  key_multiplier: 0.390625,
  ssm_in_multiplier: 1.25,
  ssm_multipliers: [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738],
  ssm_out_multiplier: 0.23570226039551587,
  mlp_multipliers: [0.8838834764831844, 0.5859375],
};

/** The matrices of layer 0 of which some rows have a factor. */
async function scaledMatrices(name: string, changes: object): Promise<string[]> {
  const text = await readFile(`${goldenPath(`hybrids/${name}`)}/config.json`, 'utf8');
  const config = parseModelConfig({ ...asRecord(parseJson(text)), ...changes });
  return (blueprintOf(config).parameters ?? [])
    .filter(({ kind, slices }) => kind === 'matrix' && slices.some(({ scale }) => scale !== 1))
    .map((parameter) => parameter.name)
    .filter((each) => !/^layers\.[1-9]/.test(each))
    .sort();
}

describe('multipliers of Falcon-H1', () => {
  it('as published they change no matrix', async () => {
    expect(await scaledMatrices('falcon-h1', PUBLISHED)).to.deep.equal([]);
    expect(await scaledMatrices('falcon-h1-norm-tied', PUBLISHED)).to.deep.equal([]);
  });

  it('another one of dt changes the rows of dt alone', async () => {
    const text = await readFile(`${goldenPath('hybrids/falcon-h1')}/config.json`, 'utf8');
    const values = asRecord(parseJson(text)) ?? {};
    const changes = { ...PUBLISHED, ssm_multipliers: [0.5, 0.25, 0.35, 0.5, 0.7] };
    const config = parseModelConfig({ ...values, ...changes });
    const inProj = blueprintOf(config).parameters?.find(
      ({ name }) => name === 'layers.0.mamba.in_proj.weight',
    );
    const scaled = inProj?.slices.filter(({ scale }) => scale !== 1) ?? [];
    expect(scaled.map(({ rows }) => rows)).to.deep.equal([values.mamba_n_heads]);
    expect(scaled[0]?.scale).to.be.closeTo(0.7 / 0.5, 1e-12);
  });

  it('rows of bf16 with a factor are not rounded to bf16 again', () => {
    const bytes = new Uint8Array(4);
    const matrix: StoredMatrix = { shape: [2, 1], dtype: 'BF16', readRows: () => bytes };
    const rows = (scale: number) => ({ tensor: 'a', first: 0, rows: 1, scale, matrix });
    expect(joined([rows(1), rows(0.7)]).needsF32).to.equal(true);
    for (const exact of [1, 0.25, 2, -4]) {
      expect(joined([rows(1), rows(exact)]).needsF32, `${exact}`).to.equal(false);
    }
  });

  it('Granite has none in its matrices', async () => {
    expect(await scaledMatrices('granite-h-rope', {})).to.deep.equal([]);
  });
});
