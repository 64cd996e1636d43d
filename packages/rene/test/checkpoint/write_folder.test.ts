// A folder is written completely or not at all, and a file that cannot be written is named.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { convertCheckpoint } from '../../src/checkpoint/convert.js';
import { copyOf, type FolderFile, writeFolder } from '../../src/checkpoint/write_folder.js';
import { CheckpointError, FileError } from '../../src/errors.js';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: write`), { code, syscall: 'write' });
}

function textFile(name: string, text: string): FolderFile {
  return { name, write: (put) => put(new TextEncoder().encode(text)) };
}

describe('writeFolder', () => {
  const folder = temporaryFolders();

  it('writes files into a new folder and over older ones', async () => {
    const dir = join(folder(), 'a', 'b');
    await writeFolder(dir, [textFile('x', 'one'), textFile('y', 'two')]);
    await writeFolder(dir, [textFile('x', 'three'), copyOf(join(dir, 'y'), 'z')]);
    expect(readdirSync(dir)).to.deep.equal(['x', 'y', 'z']);
    expect(readFileSync(join(dir, 'x'), 'utf8')).to.equal('three');
    expect(readFileSync(join(dir, 'z'), 'utf8')).to.equal('two');
  });

  it('leaves everything unchanged if any file fails at any byte', async () => {
    const base = folder();
    const sizes = fc.array(fc.nat(3), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(3), fc.boolean(), async (pieces, which, isThere) => {
        const dir = join(base, 'x', 'y');
        if (isThere) {
          mkdirSync(dir, { recursive: true });
          writeFileSync(join(dir, 'file0'), 'older');
        }
        const failing = which % pieces.length;
        const files = pieces.map((count, i) => ({
          name: `file${i}`,
          async write(put: (bytes: Uint8Array) => Promise<void>) {
            for (let k = 0; k < count; k++) await put(new Uint8Array(10));
            if (i === failing) throw systemError('ENOSPC');
          },
        }));
        const error = await errorOf(FileError, () => writeFolder(dir, files));
        expect(error.message).to.equal(
          `${join(dir, `file${failing}`)}: cannot be written: no space left on the device (ENOSPC)`,
        );
        if (existsSync(dir)) {
          expect(readdirSync(dir)).to.deep.equal(['file0']);
          expect(readFileSync(join(dir, 'file0'), 'utf8')).to.equal('older');
        } else expect(readdirSync(base)).to.deep.equal([]);
      }),
      { numRuns: 60 },
    );
  });

  it('names a path that is not a folder, and a file name that is a folder', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'file'), '');
    const inFile = await errorOf(FileError, () => writeFolder(join(dir, 'file', 'x'), []));
    expect(inFile.message).to.contain(`${join(dir, 'file', 'x')}: cannot be written`);
    mkdirSync(join(dir, 'config.json'));
    const taken = await errorOf(FileError, () => writeFolder(dir, [textFile('config.json', '')]));
    expect(taken.message).to.contain(`${join(dir, 'config.json')}: cannot be written`);
    expect(readdirSync(dir).sort()).to.deep.equal(['config.json', 'file']);
  });
});

describe('a conversion that fails', () => {
  const folder = temporaryFolders();

  it('leaves no folder behind', async () => {
    const from = folder();
    const weights = readFileSync(golden('tiny-options/model.safetensors'));
    writeFileSync(join(from, 'config.json'), readFileSync(golden('tiny-options/config.json')));
    writeFileSync(join(from, 'tokenizer.json'), '{}');
    const out = join(folder(), 'new');
    const headerBytes = Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.subarray(8, 8 + headerBytes).toString());
    const [start] = header['backbone.embedding.weight'].data_offsets;
    weights.writeFloatLE(-1e6, 8 + headerBytes + start + 16);
    writeFileSync(join(from, 'model.safetensors'), weights);
    await errorOf(CheckpointError, () => convertCheckpoint(from, out, { dtype: 'F16' }));
    expect(existsSync(out)).to.equal(false);
    await convertCheckpoint(from, out);
    expect(readdirSync(out).sort()).to.deep.equal([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    await errorOf(CheckpointError, () => convertCheckpoint(from, `${from}/.`));
  });
});
