// Damaged and hostile files of every format cause a typed error: no crash, no hang, no code execution, no
// memory beyond the file's size. RENE_FUZZ_RUNS=2500 tests 10,000 inputs.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ReneError } from '@rene-js/layers';
import { golden, tinyByteLevelJson, tinyMetaspaceJson } from '@rene-js/testing';
import { expect } from 'chai';
import seedrandom from 'seedrandom';
import { blueprintOf } from '../../src/architectures/index.js';
import { bytesSource } from '../../src/checkpoint/byte_source.js';
import { loadParameters } from '../../src/checkpoint/load_parameters.js';
import { checkpointOf } from '../../src/checkpoint/open_checkpoint.js';
import { openPyTorchBin } from '../../src/checkpoint/pytorch_bin.js';
import { openSafetensors } from '../../src/checkpoint/safetensors.js';
import { readF32, type TensorFile } from '../../src/checkpoint/tensor_file.js';
import { layerKinds, parseConfig } from '../../src/config.js';
import { configToJson } from '../../src/config_json.js';
import { Tokenizer } from '../../src/tokenizer.js';
import { mutateBytes, mutateJson, type Random } from './mutate.js';

const RUNS = Number(process.env.RENE_FUZZ_RUNS ?? 200);
/** A small input takes milliseconds; the limit allows for a busy machine. */
const SLOW_MS = 5000;
const MAX_GROWTH = 256 << 20;
const DATA = fileURLToPath(new URL('../../../test/checkpoint/data/', import.meta.url));

/** Reads one damaged input. Rejects if it was refused. */
type Feed = (random: Random) => Promise<void>;

async function fuzz(kind: string, feed: Feed): Promise<void> {
  const startBytes = process.memoryUsage().rss;
  let refused = 0;
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    try {
      await feed(seedrandom.alea(`${kind}:${i}`));
    } catch (error) {
      if (!(error instanceof ReneError)) throw new Error(`input ${kind}:${i}`, { cause: error });
      refused++;
    }
    expect(performance.now() - start, `time of input ${kind}:${i}`).to.be.below(SLOW_MS);
  }
  expect(process.memoryUsage().rss - startBytes, 'memory').to.be.below(MAX_GROWTH);
  // The damage had no effect if nothing was refused.
  expect(refused).to.be.above(RUNS / 10);
}

async function readAll(file: TensorFile): Promise<void> {
  for (const name of file.tensors.keys()) await readF32(file, name);
}

describe('hostile files', function () {
  this.timeout(60_000 + RUNS * 100);
  const safetensors = readFileSync(golden('tiny-options/model.safetensors'));
  const headerLength = Number(safetensors.readBigUInt64LE(0));

  it('safetensors', () =>
    fuzz('safetensors', async (random) => {
      if (random() < 0.5) {
        const bytes = mutateBytes(safetensors, random);
        return readAll(await openSafetensors(bytesSource(bytes, 'x')));
      }
      const text = safetensors.subarray(8, 8 + headerLength).toString();
      const header = Buffer.from(JSON.stringify(mutateJson(JSON.parse(text), random)) ?? '');
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      const bytes = Buffer.concat([length, header, safetensors.subarray(8 + headerLength)]);
      return readAll(await openSafetensors(bytesSource(bytes, 'x')));
    }));

  it('pytorch_model.bin', () =>
    fuzz('pickle', async (random) => {
      const name = random() < 0.8 ? 'state_dict' : 'code';
      const bytes = mutateBytes(readFileSync(`${DATA}${name}.bin`), random);
      await readAll(await openPyTorchBin(bytesSource(bytes, 'x')));
    }).then(() => expect(existsSync('rene-was-here')).to.equal(false)));

  it('config.json', () =>
    fuzz('config', async (random) => {
      const names = ['tiny-hybrid/config', 'tiny-gqa/config', 'tiny-mamba2/config_state_spaces'];
      const path = golden(`${names[Math.floor(random() * names.length)]}.json`);
      const config = parseConfig(mutateJson(JSON.parse(readFileSync(path, 'utf8')), random));
      layerKinds(config);
      expect(parseConfig(JSON.parse(JSON.stringify(configToJson(config))))).to.be.an('object');
      // Any configuration must be refused for a file of another model before anything is loaded.
      const file = await openSafetensors(bytesSource(safetensors, 'x'));
      await loadParameters(checkpointOf('x', [file]), blueprintOf(config));
    }));

  it('tokenizer.json', () => {
    // The library prints warnings about unknown fields.
    const { warn } = console;
    console.warn = () => {};
    return fuzz('tokenizer', async (random) => {
      const json = random() < 0.7 ? tinyByteLevelJson() : tinyMetaspaceJson();
      const tokenizer = Tokenizer.fromJson(mutateJson(json, random));
      const ids = tokenizer.encode('the 👍 日本 <|endoftext|> a\u0000b');
      tokenizer.decode(ids);
      tokenizer.decode(
        Array.from({ length: 300 }, (_, id) => id),
        { skipSpecialTokens: true },
      );
    }).finally(() => {
      console.warn = warn;
    });
  });
});
