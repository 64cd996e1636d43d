// The conversation of `rene chat`, over streams and as a process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { AutoModelForCausalLM, type CausalLM, ChatSession, Tokenizer } from '@rene-js/rene';
import { childEnv, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { chatLoop } from '../../src/chat/chat_loop.js';
import { modelFolder } from '../../src/commands/load.js';
import { runInProcess } from '../run_in_process.js';

const TEMPLATE =
  "{% for m in messages %}{{ m.role + ': ' + m.content + '<|endoftext|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";
const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

describe('rene chat', function () {
  this.timeout(60_000);
  const newFolder = temporaryFolders();
  let model: CausalLM;
  let tokenizer: Tokenizer;
  before(async () => {
    const dir = await modelFolder(undefined);
    model = await AutoModelForCausalLM.fromPretrained(dir, { backend: 'simd' });
    tokenizer = await Tokenizer.fromPretrained(dir);
  });
  after(() => model.dispose());

  const session = () =>
    new ChatSession(model, tokenizer, { chatTemplate: TEMPLATE, maxNewTokens: 6 });

  /** Runs lines through a conversation. */
  async function run(lines: readonly string[], chat = session(), isTerminal = false) {
    const written = { output: '', notices: '' };
    const sink = (name: 'output' | 'notices') =>
      new PassThrough().on('data', (chunk: Buffer) => {
        written[name] += chunk;
      });
    const input = Readable.from(lines.map((line) => `${line}\n`));
    const streams = { input, output: sink('output'), notices: sink('notices') };
    const result = await chatLoop(chat, { ...streams, isTerminal, stats: true });
    return { result, messages: chat.messages, ...written };
  }
  /** Prompt tokens that each turn computed and knew. */
  const counts = (notices: string) =>
    [...notices.matchAll(/(\d+) prompt tokens computed, (\d+) known/g)].map(
      ([, computed, known]) => [Number(computed), Number(known)],
    );

  it('answers line by line, and a turn computes only its own tokens', async () => {
    const { result, output, notices, messages } = await run(['Hello', '', 'And you?', 'Why?']);
    expect(result).to.equal(true);
    expect(messages.map(({ role }) => role).join()).to.match(/^(user,assistant,?){3}$/);
    const answers = messages.filter(({ role }) => role === 'assistant');
    expect(output).to.equal(answers.map(({ content }) => `${content}\n`).join(''));
    const length = (text: string) => tokenizer.encode(text).length;
    const ends = [[], ['And you?'], ['Why?']].map(([text]) =>
      text === undefined ? 0 : length(`<|endoftext|>user: ${text}<|endoftext|>assistant: `),
    );
    const [first, ...later] = counts(notices);
    expect(first).to.deep.equal([length('user: Hello<|endoftext|>assistant: '), 0]);
    for (const [i, [computed = 0, known]] of later.entries()) {
      // And the last token of the answer before, unless it was the end of text.
      expect(computed - (ends[i + 1] ?? 0)).to.be.oneOf([0, 1]);
      expect(known).to.be.above(0);
    }
  });

  it('saves, forgets and continues a conversation', async () => {
    const file = `${newFolder()}/my chat.st`;
    const chat = session();
    const first = await run(['Hello', `/save ${file}`, 'And you?'], chat);
    const again = await run(['/reset', 'Hm?', `/load ${file}`, 'And you?'], chat);
    expect(counts(again.notices).at(-1)).to.deep.equal(counts(first.notices).at(-1));
    expect(again.messages).to.deep.equal(first.messages);
    expect(again.output.split('\n').at(-2)).to.equal(first.output.split('\n').at(-2));
    chat.dispose();
  });

  it('an error or an unknown command is told, and the conversation goes on', async () => {
    const { result, notices, output } = await run(['/lod x', '/load /no/such', '/help', 'Hello']);
    expect(result).to.equal(false);
    expect(notices).to.match(/^\/lod: unknown command/);
    expect(notices).to.include('error: /no/such: no such file').and.include('/save FILE');
    expect(output).to.match(/.\n$/);
  });

  it('/exit leaves; what follows is not read', async () => {
    const { messages, result } = await run(['Hello', '/exit', 'Hello']);
    expect(messages).to.have.length(2);
    expect(result).to.equal(true);
  });

  it('Ctrl-C stops the answer, and not the program', async () => {
    const dir = newFolder();
    await writeFile(`${dir}/chat.jinja`, TEMPLATE);
    const args = ['chat', '--chat-template', `${dir}/chat.jinja`, '-n', '100000', '--stats'];
    // With this seed the answer has thousands of tokens. Most answers would end before the signal.
    const long = ['-t', '3', '--seed', '1'];
    const child = spawn(process.execPath, [bin, ...args, ...long], { env: childEnv() });
    const read = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        read[name] += text;
      });
    }
    child.stdin.write('Tell me a long story\n');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    while (!read.stderr.includes('(stopped)')) await once(child.stderr, 'data');
    child.stdin.end('/reset\n/exit\n');
    const [code] = await once(child, 'close');
    expect(code, read.stderr).to.equal(0);
    expect(counts(read.stderr)).to.have.length(1);
    expect(read.stdout).to.match(/.\n$/s);
  });

  it('a model without a chat template is refused by name', async () => {
    const { code, stderr } = await runInProcess(['chat']);
    expect(code).to.equal(2);
    expect(stderr).to.match(
      /^error: rene-tiny has no chat template: give one with --chat-template/,
    );
  });
});
