// Continues a text with Rene.
//
//   npm run build && node examples/dist/generate.js ["Rene Descartes was" [model]]
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';

const [prompt = 'Rene Descartes was', name = 'rene-tiny'] = process.argv.slice(2);

const model = await ReneLMHeadModel.fromPretrained(name);
const tokenizer = await Tokenizer.fromPretrained(name);

const { sequences, finishReasons } = await model.generate(tokenizer.encode(prompt), {
  maxNewTokens: 40,
  temperature: 0.8,
  topP: 0.95,
  seed: 42,
});
console.log(tokenizer.decode(sequences[0] ?? [], { skipSpecialTokens: true }));
console.log(`(ended by ${finishReasons[0]})`);

model.dispose();
