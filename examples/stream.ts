// Writes text as it comes, until it is complete, stopped by Ctrl-C or two seconds old.
//
//   npm run build && node examples/dist/stream.js ["A lighthouse is" [model]]
import { GenerationAbortedError, ReneLMHeadModel, streamText, Tokenizer } from '@rene-js/rene';

const [prompt = 'A lighthouse is', name = 'rene-tiny'] = process.argv.slice(2);

const model = await ReneLMHeadModel.fromPretrained(name);
const tokenizer = await Tokenizer.fromPretrained(name);

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(2000)]);

process.stdout.write(prompt);
try {
  const options = { maxNewTokens: 200, temperature: 0.7, seed: 1, stopStrings: '\n', signal };
  for await (const piece of streamText(model, tokenizer, prompt, options)) {
    process.stdout.write(piece);
  }
} catch (error) {
  // What was written until then is not lost.
  if (!(error instanceof GenerationAbortedError)) throw error;
}
process.stdout.write('\n');

model.dispose();
