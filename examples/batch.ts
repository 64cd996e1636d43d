// Continues each line of a file, many at a time; writes a line of JSON for each to stdout.
//
//   npm run build && node examples/dist/batch.js prompts.txt [model] > continued.jsonl
import { readFile } from 'node:fs/promises';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';

const BATCH = 16;

const [path, name = 'rene-tiny'] = process.argv.slice(2);
if (path === undefined) throw new Error('expected a file with a prompt a line');
const prompts = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '');

const model = await ReneLMHeadModel.fromPretrained(name);
const tokenizer = await Tokenizer.fromPretrained(name);

for (let first = 0; first < prompts.length; first += BATCH) {
  const batch = prompts.slice(first, first + BATCH);
  // Prompts may differ in length; each gets what it would get alone.
  const { sequences, promptLengths, finishReasons } = await model.generate(
    batch.map((prompt) => tokenizer.encode(prompt)),
    { maxNewTokens: 24 },
  );
  sequences.forEach((sequence, i) => {
    const added = sequence.slice(promptLengths[i]);
    const continuation = tokenizer.decode(added, { skipSpecialTokens: true });
    const finishReason = finishReasons[i];
    console.log(JSON.stringify({ prompt: batch[i], continuation, finishReason }));
  });
  process.stderr.write(`${Math.min(first + BATCH, prompts.length)} of ${prompts.length}\n`);
}

model.dispose();
