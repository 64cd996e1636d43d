// `rene worker`, and `rene batch` and `rene eval` with --queue: the results of a lone run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';
import { hasRedis, RedisServer } from './redis_server.js';

const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

describe('commands with --queue', function () {
  this.timeout(120_000);
  const folder = temporaryFolders();
  let server: RedisServer;

  before(async function () {
    if (!hasRedis) {
      console.log('      skipped: redis-server is not installed');
      this.skip();
    }
    server = await RedisServer.start(folder());
  });
  after(() => server?.kill());

  it('batch and eval have the results of a lone run, by a worker that drains', async () => {
    const dir = folder();
    const path = (name: string) => join(dir, name);
    const lines = Array.from({ length: 12 }, (_, i) => {
      const body = { prompt: `A ${i % 3} glacier`, max_tokens: 4, ...(i === 5 && { n_probs: 1 }) };
      return JSON.stringify({ custom_id: `${i}`, method: 'POST', url: '/v1/completions', body });
    });
    writeFileSync(path('in.jsonl'), [...lines, 'nonsense'].join('\n'));
    const docs = Array.from({ length: 10 }, (_, i) =>
      JSON.stringify({
        goal: `Fill ${i} cups`,
        sol1: 'Pour water.',
        sol2: 'Eat it.',
        label: i % 2,
      }),
    );
    writeFileSync(path('piqa.jsonl'), docs.join('\n'));
    const options = ['--backend', 'simd', '--dtype', 'f32', '--threads', '1'];
    const worker = spawn(process.execPath, [bin, 'worker', '--queue', server.url, ...options], {
      env: childEnv(),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    worker.stderr.on('data', (chunk) => {
      said += chunk;
    });
    try {
      const queue = ['--queue', server.url];
      const answered = await runInProcess(['batch', path('in.jsonl'), path('out.jsonl'), ...queue]);
      expect(answered.code, answered.stderr + said).to.equal(0);
      const alone = await runInProcess([
        ...['batch', path('in.jsonl'), path('alone.jsonl'), ...options],
      ]);
      expect(alone.code, alone.stderr).to.equal(0);
      expect(resultsIn(path('out.jsonl'))).to.deep.equal(resultsIn(path('alone.jsonl')));
      expect(resultsIn(path('out.jsonl'))).to.have.length(13);
      const evaluate = async (more: string[], name: string) => {
        const task = ['eval', '--tasks', 'piqa', '--docs', path('piqa.jsonl'), '--log_samples'];
        const where = ['--output_path', path(name), '--use_cache', path(`${name}-cache`), '--json'];
        const { code, stdout, stderr } = await runInProcess([...task, ...where, ...more]);
        expect(code, stderr).to.equal(0);
        const samples = /wrote (.*samples_piqa.*\.jsonl)/.exec(stderr)?.[1] ?? '';
        const responses = readFileSync(samples, 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line).resps);
        return { responses, results: JSON.parse(stdout).results };
      };
      const lone = await evaluate(['--backend', 'simd', '--dtype', 'f32'], 'lone');
      expect(await evaluate(queue, 'queue')).to.deep.equal(lone);
    } finally {
      worker.kill('SIGTERM');
    }
    const [code] = await once(worker, 'exit');
    expect(code, said).to.equal(0);
    expect(said).to.match(/^rene-tiny is ready: takes work from redis:\/\/127.*dtype f32, finger/m);
  });

  it('say at once that there is no Redis, before a model is loaded', async () => {
    const { code, stderr } = await runInProcess([
      ...['worker', '--queue', 'redis://:secret@127.0.0.1:1', '--model', '/nowhere'],
    ]);
    expect(code).to.equal(1);
    expect(stderr).to.match(/^error: redis:\/\/127\.0\.0\.1:1: no connection/);
    expect(stderr).to.not.include('secret');
  });
});

/** The parts of results that do not change from run to run. */
function resultsIn(path: string) {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { id, custom_id, response, error } = JSON.parse(line);
      const { choices, error: refusal } = response?.body ?? {};
      return { id, custom_id, status: response?.status_code, choices, refusal, error };
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
