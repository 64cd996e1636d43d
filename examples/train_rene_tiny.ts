// Trains the embedded model rene-tiny, or one like it, on a text file with a sentence a line.
//
//   npm run build
//   node examples/dist/train_rene_tiny.js --data train.txt --validation held-out.txt --out runs/tiny
//
// The included model was trained with --vocab 8192.
// Run the same command again to go on with a run that was stopped.
import { parseArgs } from 'node:util';
import { readDocuments, trainingProgress } from '@rene-js/cli/training';
import { ReneLMHeadModel } from '@rene-js/rene';
import { splitTexts, tinyConfig, tokenize, tokenizerFor, train } from '@rene-js/rene/training';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string' },
    validation: { type: 'string' },
    out: { type: 'string', default: 'runs/tiny' },
    backend: { type: 'string', default: 'auto' },
    vocab: { type: 'string', default: '2048' },
    steps: { type: 'string', default: '2000' },
    batch: { type: 'string', default: '16' },
    length: { type: 'string', default: '128' },
    'learning-rate': { type: 'string', default: '3e-3' },
    'evaluate-every': { type: 'string', default: '250' },
    seed: { type: 'string', default: 'rene' },
  },
});
if (!options.data) throw new Error('--data FILE is missing: a text file, a sentence a line');
const { out, seed } = options;

const texts = await readDocuments(options.data);
const [trainingTexts, heldOutTexts] = options.validation
  ? [texts, await readDocuments(options.validation)]
  : splitTexts(texts, 0.02, seed);
const { tokenizer, files } = await tokenizerFor(out, trainingTexts, Number(options.vocab));
const training = tokenize(trainingTexts, tokenizer);
const heldOut = tokenize(heldOutTexts, tokenizer);
console.error(`${training.ids.length} tokens to train on, ${heldOut.ids.length} held out`);

const model = await ReneLMHeadModel.fromConfig(tinyConfig(tokenizer.vocabSize), {
  backend: options.backend,
  trainable: true,
  seed,
});
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const progress = trainingProgress();
try {
  const report = await train(model, training, heldOut, {
    outDir: out,
    steps: Number(options.steps),
    batchSize: Number(options.batch),
    rowLength: Number(options.length),
    learningRate: Number(options['learning-rate']),
    evaluateEvery: Number(options['evaluate-every']),
    seed,
    files,
    signal: stop.signal,
    ...progress,
  });
  console.error(`\n${report.finished ? 'done' : 'stopped'}:`, report);
} finally {
  progress.stop();
  model.dispose();
}
