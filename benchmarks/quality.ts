// Quality loss of smaller weights: next-token cross entropy on held-out text, each dtype compared with f32.
//
//   node benchmarks/dist/quality.js TEXT.txt [--model rene-tiny] [--row 128] [--dtype f32,bf16,int8,int4]
//        [--group 64,32]
//
// Each line of the text is a document, as in training. Tokens are predicted within rows of 128 tokens.
import { parseArgs } from 'node:util';
import { readDocuments } from '@rene-js/cli/training';
import type { WeightFormat } from '@rene-js/layers';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import { evaluate, tokenize } from '@rene-js/rene/training';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'rene-tiny' },
    row: { type: 'string', default: '128' },
    dtype: { type: 'string', default: 'f32,bf16,int8,int4' },
    group: { type: 'string', default: '64,32' },
  },
});
const formats: readonly WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];
const chosen = formats.filter((format) => values.dtype.split(',').includes(format));
const [path] = positionals;
if (path === undefined) throw new Error('expected the path of a text');
const documents = tokenize(await readDocuments(path), await Tokenizer.fromPretrained(values.model));

console.log('dtype   group   cross entropy (nats a token)   bits a byte   against f32');
let full: number | undefined;
for (const dtype of chosen) {
  const isInt = dtype === 'int8' || dtype === 'int4';
  for (const group of isInt ? values.group.split(',').map(Number) : [0]) {
    const model = await ReneLMHeadModel.fromPretrained(values.model, {
      ...{ backend: 'simd', dtype },
      ...(isInt && { groupSize: group }),
    });
    const size = { rowLength: Number(values.row), batchSize: 16 };
    const { loss, bitsPerByte } = await evaluate(model, documents, size);
    model.dispose();
    full ??= loss;
    const change = `${loss >= full ? '+' : ''}${(100 * (loss / full - 1)).toFixed(3)} %`;
    console.log(
      `${dtype.padEnd(5)}${(isInt ? `${group}` : '-').padStart(8)}${loss.toFixed(5).padStart(31)}` +
        `${bitsPerByte.toFixed(4).padStart(14)}${change.padStart(14)}`,
    );
  }
}
process.exit(0);
