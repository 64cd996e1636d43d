// Measures what a model has learned of a text of definitions: it completes lines about people and words
// greedily, and the answers are compared with the text.
//
//   node benchmarks/dist/definitions.js TEXT.txt [--model rene-tiny] [--count 100] [--seed rene]
//        [--tokens 40] [--ask "A dog is,A lighthouse is"] [--show]
//
// An answer counts if its genus, the noun for the kind of thing ("a French philosopher who ..." is a
// philosopher), is the genus of one of the text's lines with the same beginning. --show prints the answers.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import seedrandom from 'seedrandom';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'rene-tiny' },
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: 'rene' },
    tokens: { type: 'string', default: '40' },
    ask: { type: 'string' },
    show: { type: 'boolean', default: false },
  },
});
const [path] = positionals;
if (path === undefined) throw new Error('expected the path of a text');

/** A question, and the text's answers to it. */
interface Question {
  readonly prompt: string;
  readonly definitions: readonly string[];
}

const years = String.raw`\((born in \d{4}|(circa )?\d+\??-(circa )?\d+\??( BC)?)\)`;
const patterns = {
  people: new RegExp(String.raw`^([^(]*? was) (an? .*${years}\.?)$`),
  words: /^(An? [a-z]+ is) (.*)$/,
};

const lines = (await readFile(path, 'utf8')).split('\n');
const model = await ReneLMHeadModel.fromPretrained(values.model, { backend: 'simd' });
const tokenizer = await Tokenizer.fromPretrained(values.model);
for (const [kind, pattern] of Object.entries(patterns)) {
  await ask(kind, draw(questionsOf(pattern), Number(values.count)));
}
if (values.ask !== undefined) await ask('asked', values.ask.split(',').map(questionOf));
model.dispose();
process.exit(0);

function questionsOf(pattern: RegExp): Question[] {
  const definitions = new Map<string, string[]>();
  for (const line of lines) {
    const [, prompt, definition] = pattern.exec(line) ?? [];
    if (prompt === undefined || definition === undefined) continue;
    definitions.set(prompt, [...(definitions.get(prompt) ?? []), definition]);
  }
  return Array.from(definitions, ([prompt, found]) => ({ prompt, definitions: found }));
}

function questionOf(prompt: string): Question {
  const found = lines.filter((line) => line.startsWith(`${prompt} `));
  return { prompt, definitions: found.map((line) => line.slice(prompt.length + 1)) };
}

function draw(questions: Question[], count: number): Question[] {
  const random = seedrandom(values.seed);
  const keyed = questions.map((question) => ({ key: random(), question }));
  keyed.sort((a, b) => a.key - b.key);
  return keyed.slice(0, count).map(({ question }) => question);
}

async function ask(kind: string, questions: readonly Question[]): Promise<void> {
  let right = 0;
  for (const { prompt, definitions } of questions) {
    const answer = await answerTo(prompt);
    const found = genus(answer);
    const counts = definitions.some((text) => genus(text).some((noun) => found.includes(noun)));
    if (counts) right++;
    if (values.show)
      console.log(`${counts ? '+' : '-'} ${prompt} ${answer}\n    ${definitions[0]}`);
  }
  console.log(`${kind}: the kind of ${right} of ${questions.length}`);
}

async function answerTo(prompt: string): Promise<string> {
  const { sequences } = await model.generate(tokenizer.encode(prompt), {
    maxNewTokens: Number(values.tokens),
  });
  const text = tokenizer.decode(sequences[0] ?? [], { skipSpecialTokens: true });
  return text.slice(prompt.length).trim();
}

/** "a bowed instrument with strings" has the genus instrument; "an artist or writer" has two. */
function genus(definition: string): string[] {
  const words =
    'of|who|that|which|in|with|for|noted|born|whose|used|from|on|to|having|made|as|by|is|was|where|' +
    'containing|consisting|known|best|remembered|formed';
  const plain = definition.toLowerCase().replace(/^\([^)]*\) ?/, '');
  const [head = ''] = plain.split(new RegExp(`[;,.(]| (?:${words}) `));
  return head.split(/ (?:and|or) /).map((part) => part.trim().split(' ').at(-1) ?? '');
}
