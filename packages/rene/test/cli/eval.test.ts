// `rene eval` as a process: documents from a file to results on disk, and which model is asked for.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runRene } from './run_rene.js';

/** Documents as COPA's dataset has them, made up. */
const documents = [
  ['The glass broke.', 'cause', 'It fell on the floor.', 'It was full of milk.', 0],
  ['It rained all night.', 'effect', 'The sun was hot.', 'The street was wet.', 1],
  ['The child laughed.', 'cause', 'The book was closed.', 'The dog ran in a circle.', 1],
].map(([premise, question, choice1, choice2, label], idx) => {
  return { premise, question, choice1, choice2, label, idx };
});

describe('rene eval', () => {
  let dir: string;
  let docs: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-eval-'));
    docs = join(dir, 'copa.jsonl');
    await writeFile(docs, documents.map((doc) => `${JSON.stringify(doc)}\n`).join(''));
  });
  after(() => rm(dir, { recursive: true }));

  it('measures the included model: tables on stdout, results, samples and a chart on disk', async () => {
    const out = join(dir, 'results');
    const { code, stdout, stderr } = await runRene(
      ['eval', '--tasks', 'copa', '--docs', docs, '--output_path', out, '--log_samples'],
      { env: { XDG_CACHE_HOME: join(dir, 'cache') } },
    );
    expect(stderr).not.to.match(/error/);
    expect(code).to.equal(0);
    expect(stdout).to.match(/\|\s*copa\s*\|/);
    const files = await readdir(out, { recursive: true });
    const named = (pattern: RegExp) => files.find((name) => pattern.test(name)) ?? '';
    const results = JSON.parse(await readFile(join(out, named(/results_.*\.json$/)), 'utf8'));
    const accuracy: number = results.results.copa['acc,none'];
    expect([0, 1, 2, 3].map((right) => right / 3)).to.include(accuracy);
    const samples = await readFile(join(out, named(/samples_copa_.*\.jsonl$/)), 'utf8');
    const right = samples
      .trim()
      .split('\n')
      .map((line): number => JSON.parse(line).acc);
    expect(right.reduce((sum, acc) => sum + acc, 0) / 3).to.equal(accuracy);
    expect(named(/\.svg$/)).not.to.equal('');
  });

  it('asks the hub for the revision in --model_args', async () => {
    const asked: string[] = [];
    const hub = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const address = hub.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const env = {
      HF_ENDPOINT: `http://127.0.0.1:${port}`,
      HF_HUB_CACHE: join(dir, 'hub'),
      HF_HUB_OFFLINE: '',
    };
    const args = ['--model_args', 'pretrained=someone/something,revision=v2'];
    const { code, stderr } = await runRene(
      ['eval', '--model', 'rene_ssm', ...args, '--tasks', 'copa', '--docs', docs],
      { env },
    );
    hub.close();
    expect(asked).to.deep.equal(['/api/models/someone/something/revision/v2']);
    expect(stderr).to.match(/^error: .*someone\/something/);
    expect(code).to.equal(1);
  });
});
