// A model's memory of a text, kept on disk: the text is read once, and continued another day.
//
//   npm run build
//   node examples/dist/resume_state.js story.state "It was a dark night."   # reads, saves
//   node examples/dist/resume_state.js story.state                          # continues
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';

const [path = 'story.state', text] = process.argv.slice(2);

const model = await ReneLMHeadModel.fromPretrained('rene-tiny');
const tokenizer = await Tokenizer.fromPretrained('rene-tiny');

if (text !== undefined) {
  const state = await model.prefill(tokenizer.encode(text));
  await state.save(path);
  console.log(`${path}: the state after ${state.positions[0]} tokens`);
  state.dispose();
} else {
  // Refused if the file is another model's.
  const state = await model.restoreState(path);
  const beginnings = [' The', ' A'].map((beginning) => tokenizer.encode(beginning));
  // One state, two continuations; the state stays as it is.
  const { sequences } = await model.generate(beginnings, { state, maxNewTokens: 16 });
  for (const ids of sequences) {
    console.log(`...${tokenizer.decode(ids, { skipSpecialTokens: true })}`);
  }
  state.dispose();
}

model.dispose();
