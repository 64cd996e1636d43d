import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, type StreamOptions, streamText, Tokenizer } from '@rene-js/rene';
import { goldenPath, runRene } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

const tiny = fileURLToPath(new URL('../../../../rene/models/rene-tiny', import.meta.url));
const few = ['--backend', 'simd', '-n', '6'];

const emptyTokenizer = {
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: { '\u0000': 0 }, merges: [] },
};

describe('rene generate', () => {
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(tiny, { backend: 'simd' });
    tokenizer = await Tokenizer.fromPretrained(tiny);
  });
  after(() => model.dispose());

  async function continuation(prompt: string, options: StreamOptions): Promise<string> {
    await useBackend('simd');
    let text = '';
    for await (const piece of streamText(model, tokenizer, prompt, options)) text += piece;
    return text;
  }

  it('prints only the text on stdout, and the statistics on stderr', async () => {
    const expected = await continuation('A lighthouse is', { maxNewTokens: 6 });
    const { code, stdout, stderr } = await runRene(['generate', 'A lighthouse is', ...few]);
    expect(stdout).to.equal(`A lighthouse is${expected}\n`);
    expect(stderr).to.match(
      /^\d+ prompt tokens in .* s, 1 new token with them, 5 new tokens in .*\(backend simd\)\n$/,
    );
    const [, tokens, seconds, rate] =
      /(\d+) new tokens in ([\d.]+) s, ([\d.]+) tokens\/s/.exec(stderr) ?? [];
    expect(rate).to.equal((Number(tokens) / Number(seconds)).toFixed(1));
    expect(code).to.equal(0);
  });

  it('completes a prompt about Descartes with the included model', async () => {
    const { stdout } = await runInProcess(['generate', 'Rene Descartes was', '-n', '20']);
    expect(stdout).to.match(/^Rene Descartes was a French philosopher and mathematician\b/);
  });

  it('--prompt-lookup gives the same text', async () => {
    const run = (...more: string[]) =>
      runInProcess(['generate', 'One two three. One two', '-n', '20', ...more]);
    const { stdout } = await run();
    expect((await run('--prompt-lookup')).stdout).to.equal(stdout);
    expect((await run('--prompt-lookup', '3')).stdout).to.equal(stdout);
  });

  for (const backend of ['cpu', 'wasm']) {
    it(`runs on an installed tfjs backend: ${backend}`, async () => {
      const expected = await continuation('A river', { maxNewTokens: 2 });
      const args = ['generate', 'A river', '-n', '2', '--backend', backend];
      const { stdout, stderr } = await runInProcess(args);
      expect(stdout).to.equal(`A river${expected}\n`);
      expect(stderr).to.contain(`(backend ${backend})`);
    });
  }

  it('reports an invalid RENE_THREADS, and does not fall back to a slower backend', async () => {
    const run = await runRene(['generate', 'A lighthouse is'], { env: { RENE_THREADS: 'zero' } });
    expect(run.stderr).to.equal(
      'error: RENE_THREADS: expected a whole number from 1 to 1024, found zero\n',
    );
    expect([run.code, run.stdout]).to.deep.equal([1, '']);
  });

  it('encodes with the given tokenizer, a file or a folder', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rene-cli-'));
    for (const name of ['config.json', 'model.safetensors']) {
      await copyFile(join(tiny, name), join(dir, name));
    }
    // The model's own tokenizer would encode any text as no tokens.
    await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(emptyTokenizer));
    const expected = await continuation('A lighthouse is', { maxNewTokens: 6 });
    for (const tokenizer of [join(tiny, 'tokenizer.json'), tiny]) {
      const args = ['generate', 'A lighthouse is', '-m', dir, '--tokenizer', tokenizer, ...few];
      expect((await runInProcess(args)).stdout).to.equal(`A lighthouse is${expected}\n`);
    }
    const own = await runInProcess(['generate', 'A lighthouse is', '-m', dir, ...few]);
    expect(own.code).not.to.equal(0);
    await rm(dir, { recursive: true });
  });

  it('reads the prompt from stdin, samples by the seed, and omits the prompt on request', async () => {
    const prompt = 'A glacier is\na';
    const options = { temperature: 0.8, topK: 40, topP: 0.95, seed: '7', maxNewTokens: 6 };
    const expected = await continuation(prompt, options);
    const { code, stdout, stderr } = await runRene(
      [
        'generate',
        '-t',
        '0.8',
        '--top-k',
        '40',
        '--top-p',
        '0.95',
        '--seed',
        '7',
        ...few,
        '--no-echo',
      ],
      { input: `${prompt}\n` },
    );
    expect(stdout).to.equal(`${expected}\n`);
    expect(stderr).to.contain('seed 7)');
    expect(code).to.equal(0);
  });

  it('ends before the first of several stop texts, also with a prompt', async () => {
    const whole = await continuation('A river', { maxNewTokens: 20 });
    const stop = whole.slice(6, 9);
    const args = ['--stop', '\\n', '--stop', stop, 'A river', '--backend', 'simd', '-n', '20'];
    const { code, stdout } = await runInProcess(['generate', ...args]);
    expect(stdout).to.equal(`A river${whole.slice(0, whole.indexOf(stop))}\n`);
    expect(code).to.equal(0);
  });

  it('is greedy if only one token remains to sample from', async () => {
    const { stdout } = await runInProcess(['generate', 'A river', ...few, '-q']);
    for (const option of [
      ['--top-p', '0'],
      ['--top-k', '1', '-t', '5'],
    ]) {
      const run = await runInProcess(['generate', 'A river', ...few, ...option]);
      expect(run.stdout, option.join(' ')).to.equal(stdout);
      expect(run.stderr).to.match(/\(backend simd\)\n$/);
    }
  });

  it('prints the seed that it drew', async () => {
    const { stdout, stderr } = await runInProcess(['generate', 'x', '-t', '3', ...few]);
    const seed = /seed (\d+)\)/.exec(stderr)?.[1] ?? '';
    const again = await runInProcess(['generate', 'x', '-t', '3', '--seed', seed, '-q', ...few]);
    expect(again.stdout).to.equal(stdout);
    expect(again.stderr).to.equal('');
  });

  it('ends cleanly on Ctrl-C: keeps what was printed, adds a newline, code 130', async () => {
    const { code, stdout, stderr } = await runRene(
      ['generate', 'A river', '--backend', 'simd', '-n', '100000', '-t', '1', '--seed', '1'],
      { onOutput: (text, interrupt) => text.length > 12 && interrupt() },
    );
    expect(code).to.equal(130);
    expect(stdout).to.match(/^A river[\s\S]*\n$/);
    expect(stderr).to.match(/new.*seed 1\)\n$/);
  });

  const failures: [string, string[], number, RegExp][] = [
    ['an unknown option', ['x', '--topk', '3'], 2, /unknown option '--topk'[\s\S]*--top-k/],
    ['no number', ['x', '-t', 'warm'], 2, /expected a number, found warm/],
    [
      'a negative temperature',
      ['x', '-t', '-1'],
      2,
      /^error: --temperature: expected .* found -1 \(see rene generate --help\)\n/,
    ],
    [
      'a length below the prompt',
      ['a b c', '--max-length', '2'],
      2,
      /^error: --max-length: expected more/,
    ],
    ['an empty prompt', [], 2, /^error: expected a prompt, .* on stdin; found no text \(/],
    ['an unknown model', ['x', '-m', './nowhere'], 1, /^error: \.\/nowhere: no such folder/],
    [
      'an unknown backend',
      ['x', '--backend', 'abacus'],
      2,
      /^error: --backend: expected one of auto, .*, found abacus \(see rene generate --help\)/,
    ],
    [
      'a model without a tokenizer',
      ['x', '-m', goldenPath('tiny-gqa')],
      1,
      /^error: .*it has no tokenizer\.json; specify a tokenizer\.json, .*\(--tokenizer\)\n$/,
    ],
  ];
  for (const [name, args, exitCode, message] of failures) {
    it(`refuses ${name} with a message, without a stack trace`, async () => {
      // Without arguments it reads stdin.
      const run = args.length === 0 ? runRene : runInProcess;
      const { code, stdout, stderr } = await run(['generate', ...args]);
      expect(stderr)
        .to.match(message)
        .and.not.match(/\n\s+at /);
      expect(stdout).to.equal('');
      expect(code).to.equal(exitCode);
    });
  }

  it("requests the named revision from the hub, and reports the hub's response", async () => {
    const asked: string[] = [];
    const hub = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const address = hub.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const cache = await mkdtemp(join(tmpdir(), 'rene-cli-'));
    const args = ['x', '-m', 'someone/something', '--revision', 'v2'];
    const env = {
      HF_ENDPOINT: `http://127.0.0.1:${port}`,
      HF_HUB_CACHE: cache,
      HF_HUB_OFFLINE: '',
    };
    const { code, stderr } = await runInProcess(['generate', ...args], { env });
    hub.close();
    await rm(cache, { recursive: true });
    expect(asked.join(' ')).to.contain('someone/something').and.to.contain('v2');
    expect(stderr).to.match(/^error: .*someone\/something/);
    expect(code).to.equal(1);
  });

  it('prints the stack trace of an error on request', async () => {
    const { stderr } = await runInProcess(['generate', 'x', '-m', './nowhere', '--verbose']);
    expect(stderr).to.match(/\n\s+at /);
  });
});

describe('rene', () => {
  it('lists its subcommands and version, and refuses others', async () => {
    const help = await runInProcess(['--help']);
    expect(help.stdout).to.contain('generate').and.to.contain('verify');
    expect(help.code).to.equal(0);
    expect((await runInProcess(['--version'])).stdout).to.match(/^\d+\.\d+\.\d+/);
    const wrong = await runInProcess(['generat']);
    expect(wrong.stderr).to.contain('Did you mean generate?');
    expect(wrong.code).to.equal(2);
  });

  it('info describes a model, also as JSON', async () => {
    const args = ['info', '-m', goldenPath('tiny-hybrid'), '--backend', 'cpu'];
    const { stdout, code } = await runInProcess(args);
    expect(code).to.equal(0);
    expect(stdout)
      .to.contain('Mamba2Mixer')
      .and.to.match(/tokenizer +none/);
    const facts: Record<string, unknown> = JSON.parse(
      (await runInProcess([...args, '--json'])).stdout,
    );
    expect(facts).to.include({ backend: 'cpu', dtype: 'F32', vocabSize: 90 });
    expect(facts.parameters).to.be.greaterThan(1000);
  });
});
