// The safetensors format: reading inverts writing, and every kind of invalid file is refused.
import { readFileSync } from 'node:fs';
import { errorOf, golden } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { blobSource, bytesSource } from '../../src/checkpoint/byte_source.js';
import { openFile } from '../../src/checkpoint/node_files.js';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { readF32, readI32, type TensorFile } from '../../src/checkpoint/tensor_file.js';
import { CheckpointError } from '../../src/errors.js';

type Header = Record<string, unknown>;

/** The bytes of a file with this header, or header text, and data. */
function fileBytes(header: Header | string, data = new Uint8Array(0), length?: number): Uint8Array {
  const text = new TextEncoder().encode(
    typeof header === 'string' ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function openBytes(bytes: Uint8Array): Promise<TensorFile> {
  return openSafetensors(bytesSource(bytes, 'x.safetensors'));
}

function tensor(dtype: string, shape: number[], begin: number, end: number): Header {
  return { dtype, shape, data_offsets: [begin, end] };
}

async function written(tensors: Parameters<typeof writeSafetensors>[0]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await writeSafetensors(tensors, { format: 'pt' }, async (bytes) => {
    parts.push(bytes.slice());
  });
  return Buffer.concat(parts);
}

describe('safetensors', () => {
  it('reads the header and the tensors of a file', async () => {
    const file = await openSafetensors(await openFile(golden('tiny-gqa/golden.safetensors')));
    const ids = await readI32(file, 'input_ids');
    const logits = await readF32(file, 'logits');
    const [batch = 0, length = 0, vocabulary = 0] = file.tensors.get('logits')?.shape ?? [];
    await file.close();
    expect(ids.length).to.equal(batch * length);
    expect(logits.length).to.equal(batch * length * vocabulary);
    expect(vocabulary).to.equal(80);
    expect(logits.every(Number.isFinite)).to.equal(true);
  });

  it('reads a Blob like a file', async () => {
    const path = golden('tiny-options/model.safetensors');
    const fromBlob = await openSafetensors(blobSource(new Blob([readFileSync(path)]), 'blob'));
    const fromFile = await openSafetensors(await openFile(path));
    expect([...fromBlob.tensors]).to.deep.equal([...fromFile.tensors]);
    const name = 'backbone.layers.2.mixer.out_proj.weight';
    expect(await readF32(fromBlob, name)).to.deep.equal(await readF32(fromFile, name));
    await fromFile.close();
  });

  it('reads part of a tensor', async () => {
    const file = await openBytes(
      await written([{ name: 'a', dtype: 'F32', shape: [4], bytes: () => floats(1, 2, 3, 4) }]),
    );
    expect(await file.read('a', 4, 8)).to.deep.equal(floats(2, 3));
    expect(file.metadata.get('format')).to.equal('pt');
    const error = await errorOf(CheckpointError, () => file.read('a', 8, 12));
    expect(error.message).to.match(/'a' has 16 bytes, not 20/);
    await errorOf(CheckpointError, () => file.read('b', 0, 0));
  });

  it('reads F16, BF16, I32 and I64, and refuses to read other dtypes', async () => {
    const file = await openBytes(
      await written([
        { name: 'half', dtype: 'F16', shape: [2], bytes: () => bytes16(0x3c00, 0xfbff) },
        { name: 'brain', dtype: 'BF16', shape: [2], bytes: () => bytes16(0x3f80, 0xc000) },
        { name: 'long', dtype: 'I64', shape: [2], bytes: () => longs(-3n, 2147483647n) },
        { name: 'large', dtype: 'I64', shape: [1], bytes: () => longs(1n << 40n) },
        { name: 'int', dtype: 'I32', shape: [], bytes: () => new Uint8Array([7, 0, 0, 0]) },
        { name: 'double', dtype: 'F64', shape: [1], bytes: () => new Uint8Array(8) },
      ]),
    );
    expect([...(await readF32(file, 'half'))]).to.deep.equal([1, -65504]);
    expect([...(await readF32(file, 'brain'))]).to.deep.equal([1, -2]);
    expect([...(await readI32(file, 'long'))]).to.deep.equal([-3, 2147483647]);
    expect([...(await readI32(file, 'int'))]).to.deep.equal([7]);
    expect((await errorOf(CheckpointError, () => readI32(file, 'large'))).message).to.match(
      /32 bits/,
    );
    expect((await errorOf(CheckpointError, () => readF32(file, 'double'))).message).to.match(/F64/);
    const unknown = await openBytes(fileBytes({ a: tensor('F3', [5], 0, 3) }, new Uint8Array(3)));
    expect((await errorOf(CheckpointError, () => readF32(unknown, 'a'))).message).to.match(/F3;/);
  });

  it('reads a header with a name of any length', async () => {
    const name = '\\n'.repeat(10_000_000);
    const file = await openBytes(
      fileBytes(`{"${name}":${JSON.stringify(tensor('F32', [0], 0, 0))}}`),
    );
    expect([...file.tensors.keys()][0]).to.have.lengthOf(10_000_000);
  });

  it('reads what was written, for any tensors', async () => {
    const shapes = fc.array(fc.array(fc.nat(4), { maxLength: 3 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.infiniteStream(fc.string({ maxLength: 5 })),
        async (all, names) => {
          const tensors = all.map((shape, i) => {
            const size = shape.reduce((a, b) => a * b, 1);
            const values = Float32Array.from({ length: size }, (_, j) => i + j / 16);
            const name = `${names.next().value}.${i}`;
            return { name, dtype: 'F32', shape, values, bytes: () => floats(...values) };
          });
          const file = await openBytes(await written(tensors));
          expect(file.tensors.size).to.equal(tensors.length);
          for (const { name, shape, values } of tensors) {
            expect(file.tensors.get(name)?.shape).to.deep.equal(shape);
            expect(await readF32(file, name)).to.deep.equal(values);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('aligns tensors of several dtypes', async () => {
    const bytes = await written([
      { name: 'a', dtype: 'BF16', shape: [3], bytes: () => bytes16(1, 2, 3) },
      { name: 'b', dtype: 'F32', shape: [1], bytes: () => floats(5) },
    ]);
    const header: unknown = JSON.parse(bytes.subarray(8, bytes.length - 10).toString());
    expect((bytes.length - 10) % 8).to.equal(0);
    expect(header).to.deep.include({ b: tensor('F32', [1], 0, 4), a: tensor('BF16', [3], 4, 10) });
  });

  it('keeps the order of tensors if all are aligned, and reads them in the order of their bytes', async () => {
    const bytes = await written([
      { name: 'z', dtype: 'BF16', shape: [4], bytes: () => bytes16(1, 2, 3, 4) },
      { name: 'b', dtype: 'F32', shape: [1], bytes: () => floats(5) },
    ]);
    expect([...(await openBytes(bytes)).tensors.keys()]).to.deep.equal(['z', 'b']);
    const header = { b: tensor('F32', [1], 8, 12), z: tensor('BF16', [4], 0, 8) };
    const file = await openBytes(fileBytes(header, new Uint8Array(12)));
    expect([...file.tensors.keys()]).to.deep.equal(['z', 'b']);
  });

  describe('refuses', () => {
    const data = new Uint8Array(16);
    const a = tensor('F32', [2], 0, 8);
    const cases: [what: string, bytes: Uint8Array, message: RegExp][] = [
      ['a file without a header', new Uint8Array(7), /only 7 bytes/],
      [
        'a header longer than the file',
        fileBytes({}, data, 1000),
        /1000 bytes, but the file has 26/,
      ],
      ['a header of a size beyond reason', new Uint8Array(16).fill(255), /header would be/],
      ['a header that is not JSON', fileBytes('{"a": '), /not JSON/],
      ['a header that is no object', fileBytes('[1]'), /not a JSON object/],
      ['a name given twice', fileBytes(`{"a":${J(a)},"\\u0061":${J(a)}}`, data), /'a' twice/],
      ['a tensor without dtype', fileBytes({ a: { ...a, dtype: 3 } }, data), /'a' has no dtype/],
      ['a negative size', fileBytes({ a: { ...a, shape: [-2] } }, data), /'a' has no valid shape/],
      ['offsets in disorder', fileBytes({ a: tensor('F32', [2], 8, 0) }, data), /\[8, 0\]/],
      ['three offsets', fileBytes({ a: { ...a, data_offsets: [0, 8, 9] } }, data), /begin, end/],
      ['fewer bytes than the shape', fileBytes({ a: tensor('F32', [3], 0, 8) }), /has 12 bytes/],
      [
        'a shape whose product overflows',
        fileBytes({ a: overflowing() }, data),
        /data_offsets span/,
      ],
      ['a truncated file', fileBytes({ a }, data.subarray(0, 7)), /truncated/],
      ['an overlap', fileBytes({ a, b: tensor('F32', [3], 4, 16) }, data), /'b' overlaps/],
      ['a gap', fileBytes({ a, b: tensor('F32', [1], 12, 16) }, data), /4 bytes before tensor 'b'/],
      ['bytes at the end', fileBytes({ a }, data), /last 8 bytes/],
      ['metadata that is no string', fileBytes({ __metadata__: { x: 1 } }), /'x' is not a string/],
      ['metadata that is no object', fileBytes({ __metadata__: 'x' }), /__metadata__/],
    ];
    for (const [what, bytes, message] of cases) {
      it(what, async () => {
        const error = await errorOf(CheckpointError, () => openBytes(bytes));
        expect(error.message)
          .to.match(message)
          .and.to.match(/^x\.safetensors: /);
      });
    }

    it('a folder, and a missing file', async () => {
      const folder = await errorOf(CheckpointError, () => openFile(golden('')));
      expect(folder.message).to.match(/expected a file/);
      const missing = await errorOf(CheckpointError, () => openFile(golden('none.safetensors')));
      expect(missing.message).to.match(/none\.safetensors: no such file/);
    });

    it('any damage, with a CheckpointError', async () => {
      const original = readFileSync(golden('tiny-options/model.safetensors')).subarray(0, 4096);
      const change = fc.record({ at: fc.nat(4095), value: fc.nat(255) });
      await fc.assert(
        fc.asyncProperty(fc.array(change), fc.nat(4096), async (changes, length) => {
          const bytes = original.slice(0, length);
          for (const { at, value } of changes) if (at < length) bytes[at] = value;
          await readAll(bytes).catch((error: unknown) => {
            expect(error).to.be.instanceOf(CheckpointError);
          });
        }),
        { numRuns: 300 },
      );
    });
  });

  it('does not write a tensor whose bytes do not match its shape', async () => {
    const wrong = { name: 'a', dtype: 'F32', shape: [2], bytes: () => floats(1) };
    const error = await errorOf(CheckpointError, () => written([wrong]));
    expect(error.message).to.match(/'a': expected 8 bytes to write, found 4/);
  });
});

async function readAll(bytes: Uint8Array): Promise<void> {
  const file = await openBytes(bytes);
  for (const name of file.tensors.keys()) await readF32(file, name);
}

function overflowing(): Header {
  return { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 16] };
}

function J(value: unknown): string {
  return JSON.stringify(value);
}

function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

function bytes16(...values: number[]): Uint8Array {
  return new Uint8Array(Uint16Array.from(values).buffer);
}

function longs(...values: bigint[]): Uint8Array {
  return new Uint8Array(BigInt64Array.from(values).buffer);
}
