// pytorch_model.bin: files of real PyTorch are read, everything except tensors is refused, no code runs.
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { bytesSource } from '../../src/checkpoint/byte_source.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { unpickle } from '../../src/checkpoint/pickle.js';
import { openPyTorchBin } from '../../src/checkpoint/pytorch_bin.js';
import { readF32, readI32, type TensorFile } from '../../src/checkpoint/tensor_file.js';
import { readZip } from '../../src/checkpoint/zip.js';
import { CheckpointError } from '../../src/errors.js';
import { torchFile, type Written } from './pickle_writer.js';
import { zipOf } from './zip_writer.js';

/** Made by make_pytorch_bins.py there. */
const DATA = fileURLToPath(new URL('../../../test/checkpoint/data/', import.meta.url));

function bin(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(DATA, `${name}.bin`)));
}

function openBytes(bytes: Uint8Array): Promise<TensorFile> {
  return openPyTorchBin(bytesSource(bytes, 'x.bin'));
}

/** A file with a custom pickle, from opcodes and text. */
function pickled(...parts: (number | string)[]): Uint8Array {
  const bytes = parts.flatMap((part) =>
    typeof part === 'number' ? [part] : [...Buffer.from(part)],
  );
  return zipOf({ 'archive/data.pkl': Uint8Array.from([0x80, 2, ...bytes, 0x2e]) });
}

describe('pytorch_model.bin', () => {
  const folder = temporaryFolders();

  it('reads the tensors of a state_dict', async () => {
    const file = await openBytes(bin('state_dict'));
    const shapes = Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, shape]));
    expect(shapes).to.deep.equal({
      embedding: [3, 4],
      head: [3, 4],
      part: [2, 4],
      parameter: [2],
      half: [4],
      brain: [4],
      long: [2],
      empty: [0, 3],
    });
    const counting = Array.from({ length: 12 }, (_, i) => i);
    expect([...(await readF32(file, 'embedding'))]).to.deep.equal(counting);
    expect([...(await readF32(file, 'head'))]).to.deep.equal(counting);
    expect([...(await readF32(file, 'part'))]).to.deep.equal(counting.slice(4));
    expect([...(await readF32(file, 'parameter'))]).to.deep.equal([0.5, -0.5]);
    expect([...(await readF32(file, 'half'))]).to.deep.equal([0, 1, 2, 3]);
    expect([...(await readF32(file, 'brain'))]).to.deep.equal([0, 1, 2, 3]);
    expect([...(await readI32(file, 'long'))]).to.deep.equal([1, -2147483648]);
    expect((await readF32(file, 'empty')).length).to.equal(0);
    const error = await errorOf(CheckpointError, () => file.read('half', 4, 8));
    expect(error.message).to.match(/'half' has 8 bytes, not 12/);
  });

  it('reads an archive in the format of files beyond 4 GB', async () => {
    const source = bytesSource(bin('state_dict'), 'x.bin');
    const files: Record<string, Uint8Array> = {};
    for (const [name, { start, size }] of await readZip(source)) {
      files[name] = await source.read(start, size);
    }
    const file = await openBytes(zipOf(files, { zip64: true }));
    expect([...(await readF32(file, 'part'))]).to.deep.equal([4, 5, 6, 7, 8, 9, 10, 11]);
    expect([...(await readI32(file, 'long'))]).to.deep.equal([1, -2147483648]);
  });

  it("reads PyTorch's views in any layout, from a training checkpoint", async () => {
    const file = await openBytes(bin('layouts'));
    const names = [...file.tensors.keys()].filter((name) => !name.includes('.expected.'));
    expect(names.length).to.equal(9);
    for (const name of names) {
      const expected = name.replace('module.', 'module.expected.');
      expect(file.tensors.get(name)).to.deep.include({ shape: file.tensors.get(expected)?.shape });
      const read = name === 'module.long' ? readI32 : readF32;
      expect(await read(file, name), name).to.deep.equal(await read(file, expected));
    }
    expect([...(await readF32(file, 'module.transposed'))].slice(0, 4)).to.deep.equal([0, 4, 8, 1]);
  });

  it('reads parameters with attributes or a class of their own', async () => {
    const file = await openBytes(bin('parameters'));
    expect([...(await readF32(file, 'marked'))]).to.deep.equal([1, 2]);
    expect([...(await readF32(file, 'sub'))]).to.deep.equal([3, 4]);
  });

  it('ignores numbers and other values beside the tensors', async () => {
    const a = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    expect([...(await readF32(await openBytes(bin('training')), 'a'))]).to.deep.equal(a);
    const b = { storage: '0', offset: 1, shape: [2], strides: [1] } as const;
    const storages = { 0: Float32Array.of(5, 6, 7) };
    const beside: Written[] = [1, 0.5, 'text', true, null, [1, [2]], { dict: { x: 1 } }];
    for (const key of ['state_dict', 'model', 'module', 'model_state_dict']) {
      for (const other of beside) {
        const dicts: Record<string, Written>[] = [
          { other, b },
          { other, [key]: { dict: { b } } },
          { rng_state: b, [key]: { dict: { other, b } }, other },
          { model: { dict: { [key]: { dict: { b } }, other } } },
        ];
        for (const dict of dicts) {
          const file = await openBytes(torchFile({ dict }, storages));
          expect([...file.tensors.keys()]).to.deep.equal(['b']);
          expect([...(await readF32(file, 'b'))]).to.deep.equal([6, 7]);
        }
      }
    }
  });

  it('reads any part of a tensor with any strides', async () => {
    const layout = fc
      .record({
        shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
        strides: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 4, maxLength: 4 }),
        offset: fc.nat(5),
        spare: fc.nat(3),
        part: fc.tuple(fc.double({ min: 0, max: 1 }), fc.double({ min: 0, max: 1 })),
      })
      .filter(({ part }) => !part.some(Number.isNaN));
    await fc.assert(
      fc.asyncProperty(layout, async ({ shape, strides: all, offset, spare, part }) => {
        const strides = all.slice(0, shape.length);
        const indices = shape.reduce<number[]>(
          (found, size, axis) =>
            found.flatMap((at) =>
              Array.from({ length: size }, (_, i) => at + i * (strides[axis] ?? 0)),
            ),
          [offset],
        );
        const storage = Float32Array.from(
          { length: Math.max(offset, ...indices) + 1 + spare },
          (_, i) => i * 1.5,
        );
        const tensor = { storage: 'x', offset, shape, strides };
        const file = await openBytes(torchFile({ dict: { t: tensor } }, { x: storage }));
        const expected = Float32Array.from(indices, (at) => at * 1.5);
        expect(await readF32(file, 't')).to.deep.equal(expected);
        const [first, last] = part
          .map((x) => Math.floor(x * expected.length))
          .sort((a, b) => a - b);
        const bytes = await file.read('t', 4 * (first ?? 0), 4 * ((last ?? 0) - (first ?? 0)));
        expect([...new Float32Array(bytes.slice().buffer)]).to.deep.equal([
          ...expected.subarray(first, last),
        ]);
      }),
      { numRuns: 300 },
    );
  });

  it('is found in a model folder, whole or in shards', async () => {
    const whole = folder();
    copyFileSync(join(DATA, 'state_dict.bin'), join(whole, 'pytorch_model.bin'));
    const sharded = folder();
    const shard = 'pytorch_model-00001-of-00001.bin';
    copyFileSync(join(DATA, 'state_dict.bin'), join(sharded, shard));
    const index = { weight_map: { embedding: shard, brain: shard } };
    writeFileSync(join(sharded, 'pytorch_model.bin.index.json'), JSON.stringify(index));
    for (const dir of [whole, sharded]) {
      const checkpoint = await openCheckpoint(dir);
      expect(checkpoint.storedMatrix('embedding').shape).to.deep.equal([3, 4]);
      expect([...(await checkpoint.readF32('brain'))]).to.deep.equal([0, 1, 2, 3]);
      await checkpoint.close();
    }
  });

  it('refuses any call by name, and runs nothing', async () => {
    const error = await errorOf(CheckpointError, () => openBytes(bin('code')));
    expect(error.message).to.match(/^x\.bin: .*(posix|nt)\.system.*not allowed/);
    expect(existsSync('rene-was-here')).to.equal(false);
    const calls: [string, Uint8Array][] = [
      ['builtins.eval', pickled('c', 'builtins\neval\n', 'X', 1, 0, 0, 0, '1', 0x85, 'R')],
      ['os.system', pickled(0x8c, 2, 'os', 0x8c, 6, 'system', 0x93, ')', 'R')],
      ['torch.load', pickled('c', 'torch\nload\n', ')', 'R')],
    ];
    for (const [name, bytes] of calls) {
      const error = await errorOf(CheckpointError, () => openBytes(bytes));
      expect(error.message).to.contain(`${name}, which is not allowed`);
    }
  });

  it('refuses a shape of many axes, which every tensor of a hostile file could share', async () => {
    // A list of 1000 sizes in the memo, and a tensor with that shape.
    const shape = ['(', ...Array<number[]>(1000).fill([0x4b, 1]).flat(), 'l', 'q', 1];
    const tensor = [
      'c',
      'torch._utils\n_rebuild_tensor_v2\n',
      '(',
      '(',
      'X',
      7,
      0,
      0,
      0,
      'storage',
    ];
    const storage = ['c', 'torch\nFloatStorage\n', 'X', 1, 0, 0, 0, '0', 'X', 3, 0, 0, 0, 'cpu'];
    const bytes = pickled(
      ...shape,
      ...tensor,
      ...storage,
      'K',
      1,
      't',
      'Q',
      'K',
      0,
      'h',
      1,
      'h',
      1,
      't',
      'R',
    );
    const error = await errorOf(CheckpointError, () => openBytes(bytes));
    expect(error.message).to.match(/no valid storage, offset, shape/);
  });

  describe('refuses', () => {
    const storage = ['(', 'X', 7, 0, 0, 0, 'storage', 'c', 'torch\nFloatStorage\n'] as const;
    const cases: [what: string, bytes: Uint8Array, message: RegExp][] = [
      [
        'a dict without tensors',
        torchFile({ dict: { config: { dict: { a: 1 } }, step: 3 } }, {}),
        /expected a dict of tensors, .*'state_dict' or 'model'; found the keys 'config', 'step'/,
      ],
      [
        'a few numbers repeated to a large tensor',
        torchFile(
          { dict: { a: { storage: '0', offset: 0, shape: [1 << 15, 1 << 15], strides: [0, 0] } } },
          { 0: Float32Array.of(1) },
        ),
        /'a': it expands the 1 values of its storage/,
      ],
      [
        'strides beyond the storage',
        torchFile(
          { dict: { a: { storage: '0', offset: 0, shape: [2, 3], strides: [1, 3] } } },
          { 0: new Float32Array(7) },
        ),
        /'a': it needs 8 values, but its storage has 7/,
      ],
      ['the format before zip', bin('legacy'), /saved again/],
      ['a file that it holds twice', twice(), /it holds 'archive\/data\.pkl' twice/],
      ['a tensor beyond its storage', beyond(), /'part': it needs \d+ values, but its storage has/],
      ['an empty file', new Uint8Array(0), /not a zip/],
      ['a truncated file', bin('state_dict').slice(0, -30), /damaged archive.*truncated/],
      ['an entry longer than the file', cutEntry(), /'archive\/data\.pkl' is cut/],
      ['an archive without a pickle', zipOf({ 'archive/x': new Uint8Array(3) }), /no data\.pkl/],
      ['big-endian numbers', bigEndian(), /big-endian/],
      [
        'a compressed entry',
        zipOf({ 'archive/data.pkl': new Uint8Array(3) }, { method: 8 }),
        /compressed/,
      ],
      ['new objects by opcode', pickled('c', 'os\nPath\n', ')', 0x81), /opcode 0x81 at byte \d+/],
      ['something that is no dict', pickled('K', 3), /not a dict/],
      ['a stack that is empty', pickled('0'), /opcode 0x30/],
      ['a pickle without an end', zipOf({ 'archive/data.pkl': new Uint8Array(0) }), /before STOP/],
      ['a mark as a value', pickled('(', '(', 'q', 0), /a mark/],
      ['an unknown memo', pickled('h', 9), /no value number 9/],
      ['a string beyond the end', pickled('X', 255, 255, 255, 255), /before STOP/],
      ['another kind of storage', pickled('(', ')', 'Q', 'Q'), /not a storage/],
      [
        'an unknown storage type',
        pickled(
          ...storage.slice(0, 7),
          'c',
          'torch\nX\n',
          'X',
          1,
          0,
          0,
          0,
          '0',
          'X',
          3,
          0,
          0,
          0,
          'cpu',
          'K',
          4,
          't',
          'Q',
        ),
        /torch\.X is not supported/,
      ],
    ];
    for (const [what, bytes, message] of cases) {
      it(what, async () => {
        const error = await errorOf(CheckpointError, () => openBytes(bytes));
        expect(error.message)
          .to.match(message)
          .and.to.match(/^x\.bin: /);
      });
    }

    it('any damage, with a CheckpointError', async () => {
      const original = bin('state_dict');
      const change = fc.record({ at: fc.nat(original.length - 1), value: fc.nat(255) });
      await fc.assert(
        fc.asyncProperty(fc.array(change, { maxLength: 8 }), async (changes) => {
          const bytes = original.slice();
          for (const { at, value } of changes) bytes[at] = value;
          await readAll(bytes).catch((error: unknown) => {
            expect(error).to.be.instanceOf(CheckpointError);
          });
        }),
        { numRuns: 500 },
      );
    });

    it('any pickle, with a CheckpointError', () => {
      const opcodes = '().]}(tlaesuRbQqrhjNKMJXGc.'.split('').map((c) => c.charCodeAt(0));
      const byte = fc.oneof(
        fc.constantFrom(...opcodes, 0x80, 0x85, 0x86, 0x87, 0x88, 0x8a, 0x8c, 0x93, 0x94, 0x95),
        fc.nat(255),
      );
      fc.assert(
        fc.property(fc.array(byte, { maxLength: 100 }), (bytes) => {
          try {
            unpickle(Uint8Array.from(bytes), { call: () => null, persistent: () => null });
          } catch (error) {
            expect(error).to.be.instanceOf(CheckpointError);
          }
        }),
        { numRuns: 2000 },
      );
    });
  });
});

function bigEndian(): Uint8Array {
  return zipOf({
    'archive/data.pkl': Uint8Array.of(0x80, 2, 0x7d, 0x2e),
    'archive/byteorder': new TextEncoder().encode('big'),
  });
}

function twice(): Uint8Array {
  const pickle = Uint8Array.of(0x80, 2, 0x7d, 0x2e);
  return replaced(
    zipOf({ 'archive/data.pkl': pickle, 'archive/data.pk2': pickle }),
    'archive/data.pk2',
    'archive/data.pkl',
  );
}

/** The directory claims 100 bytes more than the only file has. */
function cutEntry(): Uint8Array {
  const bytes = Buffer.from(zipOf({ 'archive/data.pkl': new Uint8Array(3) }));
  const central = bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  bytes.writeUInt32LE(103, central + 24);
  return new Uint8Array(bytes);
}

/** `part` is (2, 4) from element 4 of a storage of 12; from element 5 it would exceed the storage. */
function beyond(): Uint8Array {
  return replaced(bin('state_dict'), 'K\x04K\x02K\x04\x86', 'K\x05K\x02K\x04\x86');
}

/** Replaces all occurrences of a text by another one of the same length. */
function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  expect(text).to.contain(from);
  return new Uint8Array(Buffer.from(text.replaceAll(from, to), 'latin1'));
}

async function readAll(bytes: Uint8Array): Promise<void> {
  const file = await openBytes(bytes);
  for (const [name, { dtype }] of file.tensors) {
    if (dtype.startsWith('I')) await readI32(file, name);
    else await readF32(file, name);
  }
}
