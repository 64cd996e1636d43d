// Fine-tunes rene-tiny on sentences of another kind by LoRA: the weights stay as they are, small
// corrections to them are learnt.
//
//   npm run build && node examples/dist/fine_tune_lora.js
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import { LoraAdapter, tokenize, train } from '@rene-js/rene/training';

const tiny = fileURLToPath(new URL('../../packages/rene/models/rene-tiny', import.meta.url));
const tokenizer = await Tokenizer.fromPretrained(tiny);
// Training changes weights in place: they are plain f32 variables.
const model = await ReneLMHeadModel.fromPretrained(tiny, { trainable: true });

const animals = ['cat', 'dog', 'horse', 'whale', 'crow', 'bee', 'trout', 'frog', 'goat', 'wren'];
const sentences = animals.map((animal) => `A ${animal} is fond of warm soup in the evening.`);
const training = tokenize(sentences.slice(0, 8), tokenizer);
const heldOut = tokenize(sentences.slice(8), tokenizer);

const outDir = await mkdtemp(join(tmpdir(), 'rene-lora-'));
const adapter = LoraAdapter.create(model, { rank: 8 });
await train(adapter, training, heldOut, {
  outDir,
  steps: 15,
  batchSize: 2,
  rowLength: 32,
  learningRate: 2e-3,
  evaluateEvery: 5,
  onEvaluation: ({ step, bitsPerByte }) =>
    console.log(`step ${step}: ${bitsPerByte.toFixed(2)} bits a byte`),
});
// outDir now holds adapter_config.json and adapter_model.safetensors, as PEFT writes them.
adapter.merge();

const { sequences } = await model.generate(tokenizer.encode('A wolf is'), { maxNewTokens: 16 });
console.log(tokenizer.decode(sequences[0] ?? [], { skipSpecialTokens: true }));
model.dispose();
await rm(outDir, { recursive: true });
