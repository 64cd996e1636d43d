// Conversion of checkpoints from any format to the original's safetensors, compared value by value.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { narrow } from '@rene-js/layers/internal';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { convertCheckpoint } from '../../src/checkpoint/convert.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import { CheckpointError } from '../../src/errors.js';

describe('convertCheckpoint', () => {
  const folder = temporaryFolders();

  it('keeps every value and dtype, drops a repeated head, and copies the tokenizer', async () => {
    for (const name of ['tiny-bf16', 'tiny-mamba2']) {
      const from = await openCheckpoint(golden(name));
      const dir = join(folder(), 'out');
      const seen: number[] = [];
      await convertCheckpoint(golden(name), dir, {
        pieceBytes: 3000,
        onProgress: (done, total) => seen.push(done / total),
      });
      const to = await openCheckpoint(dir);
      expect(await readConfig(dir)).to.deep.equal(await readConfig(golden(name)));
      const expected = from.names.filter((tensor) => tensor !== 'lm_head.weight');
      expect([...to.names].sort()).to.deep.equal([...expected].sort());
      for (const tensor of to.names) {
        expect(await to.readF32(tensor), tensor).to.deep.equal(await from.readF32(tensor));
        const { dtype, shape } = from.info(tensor);
        const isMatrix = shape.length === 2;
        expect(to.info(tensor)).to.deep.include({ shape, dtype: isMatrix ? dtype : 'F32' });
      }
      expect(to.metadata.get('format')).to.equal('pt'); // transformers requires this key
      expect(seen.at(-1)).to.equal(1);
      expect(seen.length).to.be.above(2 * from.names.length);
      await from.close();
      await to.close();
    }
  });

  it('rounds matrices to the requested dtype', async () => {
    const [dir, again] = [folder(), folder()];
    await convertCheckpoint(golden('tiny-options'), dir, { dtype: 'BF16' });
    const [from, to] = [await openCheckpoint(golden('tiny-options')), await openCheckpoint(dir)];
    const name = 'backbone.embedding.weight';
    expect(to.info(name).dtype).to.equal('BF16');
    const rounded = narrow(await from.readF32(name), 'BF16');
    expect(await to.read(name, 0, rounded.length)).to.deep.equal(rounded);
    await from.close();
    await to.close();
    writeFileSync(join(dir, 'tokenizer.json'), '{}');
    await convertCheckpoint(dir, again, { dtype: 'F16' });
    expect(readdirSync(again).sort()).to.deep.equal([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
  });

  it("reports a value out of F16's range", async () => {
    const [from, to] = [folder(), folder()];
    const bytes = readFileSync(golden('tiny-options/model.safetensors'));
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
    const name = 'backbone.embedding.weight';
    expect(header[name].dtype).to.equal('F32');
    bytes.writeFloatLE(-1e5, 8 + headerBytes + header[name].data_offsets[0] + 40);
    writeFileSync(join(from, 'model.safetensors'), bytes);
    writeFileSync(join(from, 'config.json'), readFileSync(golden('tiny-options/config.json')));
    const error = await errorOf(CheckpointError, () =>
      convertCheckpoint(from, to, { dtype: 'F16' }),
    );
    expect(error.message).to.contain(`'${name}' contains -100000, which is out of F16's range`);
    expect(readdirSync(to)).to.deep.equal([]);
    await convertCheckpoint(from, to, { dtype: 'BF16' });
  });

  it('keeps the existing folder if the source is invalid', async () => {
    const [from, to] = [folder(), folder()];
    writeFileSync(join(from, 'config.json'), readFileSync(golden('tiny-gqa/config.json')));
    const weights = readFileSync(golden('tiny-options/model.safetensors'));
    writeFileSync(join(from, 'model.safetensors'), weights);
    writeFileSync(join(to, 'model.safetensors'), 'older');
    const error = await errorOf(CheckpointError, () => convertCheckpoint(from, to));
    expect(error.problems.length).to.be.above(5);
    expect(readdirSync(to)).to.deep.equal(['model.safetensors']);
    expect(readFileSync(join(to, 'model.safetensors'), 'utf8')).to.equal('older');
  });
});
