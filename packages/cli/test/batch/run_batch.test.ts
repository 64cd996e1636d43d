// Batches: results of the server's, and every line once though the process is killed.
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { ResultFile } from '../../src/batch/result_file.js';
import { batchLines, checkBatch, runBatch } from '../../src/batch/run_batch.js';
import { runInProcess } from '../run_in_process.js';

const KILLS = Number(process.env.RENE_KILLS ?? 3);
const CHILD = fileURLToPath(new URL('./kill_child.js', import.meta.url));
const line = (id: string, body: object, url = '/v1/completions') =>
  JSON.stringify({ custom_id: id, method: 'POST', url, body });

interface Result {
  custom_id: string | null;
  response: { status_code: number; body: { choices?: { text: string }[]; error?: object } } | null;
  error: { code: string; line: number } | null;
}

function resultsIn(path: string): Result[] {
  const text = readFileSync(path, 'utf8');
  expect(text).to.match(/\n$/);
  return text
    .trimEnd()
    .split('\n')
    .map((line): Result => JSON.parse(line));
}

describe('rene batch', function () {
  this.timeout(60_000 + 10_000 * KILLS);
  const folder = temporaryFolders();

  it('answers each line as the server does, and only what is missing', async () => {
    const dir = folder();
    const [input, output] = [join(dir, 'in.jsonl'), join(dir, 'sub', 'out.jsonl')];
    const lines = [
      line('text', { model: 'rene-tiny', prompt: 'A glacier is', max_tokens: 5, temperature: 0 }),
      line('drawn', { prompt: 'A glacier is', max_tokens: 12 }),
      'nonsense',
      '',
      line('long', { prompt: 'A', max_tokens: 200, logprobs: 20, ignore_eos: true }),
      line('wrong', { prompt: 'A', n_probs: 3 }),
      line('other', { prompt: 'A', model: 'other' }),
      line(
        'chat',
        { messages: [{ role: 'user', content: 'A bird' }], max_tokens: 4 },
        '/v1/chat/completions',
      ),
    ];
    writeFileSync(input, lines.join('\r\n'));
    const template = join(dir, 'chat.jinja');
    writeFileSync(template, '{{ messages[0].content }}');
    const options = ['--backend', 'simd', '--concurrency', '3', '--chat-template', template];
    const args = ['batch', input, output, ...options];
    const first = await runInProcess(args);
    expect(first).to.deep.include({
      code: 0,
      stdout: `${output}: 7 of 7 requests have a result, 3 of them an error\n`,
    });
    const results = resultsIn(output);
    const shown = results
      .map(({ custom_id: id, response, error }) => [id, response?.status_code ?? error?.code])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    expect(shown).to.deep.equal([
      ['chat', 200],
      ['drawn', 200],
      ['long', 200],
      [null, 'invalid_json_line'],
      ['other', 404],
      ['text', 200],
      ['wrong', 400],
    ]);
    expect(results.find(({ error }) => error)?.error).to.include({ line: 3 });
    // Remove two results: they are computed again, the others stay.
    const kept = results.filter(({ custom_id: id }) => id !== 'drawn' && id !== 'wrong');
    const keptText = kept.map((result) => `${JSON.stringify(result)}\n`).join('');
    writeFileSync(output, keptText);
    const again = await runInProcess(args);
    expect(again.code, again.stderr).to.equal(0);
    expect(readFileSync(output, 'utf8').startsWith(keptText)).to.equal(true);
    const textOf = (all: Result[], id: string) =>
      all.find((result) => result.custom_id === id)?.response?.body.choices?.[0]?.text;
    const after = resultsIn(output);
    expect(after).to.have.length(7);
    expect(textOf(after, 'drawn')).to.be.a('string').and.equal(textOf(results, 'drawn'));
    const other = await runInProcess([...args, '--dtype', 'int8']);
    expect(other.code).to.equal(1);
    expect(other.stderr).to.match(/belongs to another request or another model/);
  });

  it('says what is wrong before it loads a model', async () => {
    const dir = folder();
    const input = join(dir, 'in.jsonl');
    writeFileSync(input, [line('a', {}), line('b', {}), line('a', { prompt: 'x' })].join('\n'));
    const missing = ['--model', '/nowhere'];
    const twice = await runInProcess(['batch', input, join(dir, 'out'), ...missing]);
    expect(twice.code).to.equal(1);
    expect(twice.stderr).to.match(/lines 1 and 3 have the same custom_id "a"/);
    const same = await runInProcess(['batch', input, input, ...missing]);
    expect(same.code).to.equal(2);
    const none = await runInProcess(['batch', join(dir, 'none'), join(dir, 'out'), ...missing]);
    expect(none.code).to.equal(1);
    expect(none.stderr).to.match(/none: cannot be read: no such file/);
  });

  it('stops at an error of the engine, and writes no line for it', async () => {
    const dir = folder();
    const [input, output] = [join(dir, 'in.jsonl'), join(dir, 'out.jsonl')];
    writeFileSync(input, Array.from({ length: 20 }, (_, i) => line(`${i}`, { i })).join('\n'));
    const file = await ResultFile.open(output, await checkBatch(input, ''));
    let calls = 0;
    const answer = async () => {
      if (++calls > 5) throw new Error('the engine is down');
      return { status_code: 200, request_id: '', body: {} };
    };
    const run = runBatch(batchLines(input, ''), answer, file, { concurrency: 3 });
    const error: unknown = await run.catch((e) => e);
    file.close();
    expect(String(error)).to.equal('Error: the engine is down');
    expect(resultsIn(output)).to.have.length(5);
    expect(calls).to.be.at.most(8);
  });

  it(`has every line once after ${KILLS} kills at random moments`, async () => {
    const dir = folder();
    const [input, output] = [join(dir, 'in.jsonl'), join(dir, 'out.jsonl')];
    const count = 300 * KILLS;
    const lines = Array.from({ length: count }, (_, i) =>
      line(`${i}`, { prompt: `p${i}`, seed: i }),
    );
    writeFileSync(input, lines.join('\n'));
    const sizes: number[] = [];
    for (let i = 0; i <= KILLS; i++) {
      const { signal, messages } = await runChild([input, output], i < KILLS);
      expect({ signal, messages }).to.deep.equal({
        signal: i < KILLS ? 'SIGKILL' : null,
        messages: '',
      });
      sizes.push(readFileSync(output).lastIndexOf('\n') + 1); // the next run cuts a line that is torn
    }
    expect(sizes).to.deep.equal(sizes.toSorted((a, b) => a - b));
    expect(new Set(sizes).size, 'each run adds results').to.be.above(1);
    const results = resultsIn(output);
    expect(results).to.have.length(count);
    for (const { custom_id: id, response } of results) {
      const body = JSON.stringify({ prompt: `p${id}`, seed: Number(id) });
      expect(response?.body).to.deep.equal({ text: body.repeat(200) });
    }
    expect(new Set(results.map(({ custom_id: id }) => id)).size).to.equal(count);
  });
});

/** Runs the child; kills it up to 60 milliseconds after it has begun. */
function runChild(args: string[], isKilled: boolean) {
  const child = fork(CHILD, args, { silent: true });
  let messages = '';
  child.stderr?.on('data', (chunk) => {
    messages += chunk;
  });
  child.stdout?.once('data', () => {
    if (isKilled) setTimeout(() => child.kill('SIGKILL'), Math.random() * 60);
  });
  return new Promise<{ signal: NodeJS.Signals | null; messages: string }>((resolve) => {
    child.on('close', (_, signal) => resolve({ signal, messages }));
  });
}
