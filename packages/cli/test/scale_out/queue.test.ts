// Work through a real Redis: every item has one result, whatever happens to workers and to Redis.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Producer } from '../../src/scale_out/producer.js';
import { connect, disconnect } from '../../src/scale_out/redis.js';
import { identityOf, register } from '../../src/scale_out/registry.js';
import type { Outcome, WorkItem } from '../../src/scale_out/work.js';
import { hasRedis, RedisServer } from './redis_server.js';

const CHILD = fileURLToPath(new URL('./worker_child.js', import.meta.url));

describe('a queue of work', function () {
  this.timeout(180_000);
  const folder = temporaryFolders();
  let server: RedisServer;
  let redis: Redis;
  let run = 0;
  const workers: ChildProcess[] = [];

  before(async function () {
    if (!hasRedis) {
      console.log('      skipped: redis-server is not installed');
      this.skip();
    }
    server = await RedisServer.start(folder());
    redis = await connect(server.url, () => {});
  });
  beforeEach(() => {
    run++;
  });
  afterEach(() => {
    for (const worker of workers.splice(0)) worker.kill('SIGKILL');
  });
  after(async () => {
    if (redis) disconnect(redis);
    await server?.kill();
  });

  const items = (prompts: readonly string[]): WorkItem[] =>
    prompts.map((prompt, i) => ({
      id: `${run}:${i}`,
      work: { kind: 'request', request: { url: '/v1/completions', body: { prompt } } },
    }));
  const texts = (count: number) => Array.from({ length: count }, (_, i) => `text ${i}`);
  const worker = async () => {
    const child = fork(CHILD, [server.url, `m${run}`], { silent: true });
    workers.push(child);
    if (child.stdout) await once(child.stdout, 'data');
    return child;
  };
  /** Has items done; checks that each has one outcome. */
  const produce = async (all: readonly WorkItem[], onDone: (done: number) => void = () => {}) => {
    const controller = new AbortController();
    const producer = await Producer.open(redis, `m${run}`, controller.signal, 500);
    const outcomes = new Map<string, Outcome>();
    await producer.run(all, ({ id }, outcome) => {
      expect(outcomes.has(id), id).to.equal(false);
      outcomes.set(id, outcome);
      onDone(outcomes.size);
    });
    await producer.close();
    expect([...outcomes.keys()]).to.have.members(all.map(({ id }) => id));
    return outcomes;
  };
  const textOf = (outcome: Outcome | undefined): unknown => {
    if (outcome?.kind === 'error') return outcome.message;
    return outcome?.kind === 'response' ? Object(outcome.response.body).text : undefined;
  };
  const expectAnswers = (all: readonly WorkItem[], outcomes: Map<string, Outcome>) => {
    for (const { id, work } of all) {
      if (work.kind !== 'request') continue;
      const prompt = String(work.request.body.prompt);
      expect(textOf(outcomes.get(id))).to.equal(`${prompt} ${prompt.length}`);
    }
  };

  it('is shared by workers; one that dies and Redis killed lose nothing', async () => {
    const [first] = await Promise.all([worker(), worker()]);
    const all = items(texts(200));
    let hasDied = false;
    let restart: Promise<void> | undefined;
    const outcomes = await produce(all, (done) => {
      if (done > 40 && !hasDied) {
        hasDied = true;
        first.kill('SIGKILL');
      }
      if (done > 90) {
        restart ??= server.kill().then(async () => {
          await sleep(300);
          await server.start();
        });
      }
    });
    await restart;
    expectAnswers(all, outcomes);
    // Asked again, all results are there: no work is done.
    for (const child of workers) child.kill('SIGKILL');
    expectAnswers(all, await produce(all));
  });

  it('does what was lost with the memory of Redis again', async () => {
    const all = items(texts(20));
    const running = produce(all);
    await sleep(300); // nobody works yet
    await redis.flushall();
    await worker();
    expectAnswers(all, await running);
  });

  it('reports items that fail or end their workers, and does the others', async () => {
    const prompts = texts(16);
    prompts[3] = 'throw';
    prompts[11] = 'die';
    const all = items(prompts);
    let isOver = false;
    // As a service manager does.
    const restarts = (async () => {
      let count = 0;
      for (; !isOver; count++) {
        const child = await worker();
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      return count;
    })();
    const outcomes = await produce(all);
    isOver = true;
    for (const child of workers) child.kill('SIGKILL');
    expect(await restarts).to.be.within(4, 6);
    expect(textOf(outcomes.get(`${run}:3`))).to.equal('it throws');
    expect(textOf(outcomes.get(`${run}:11`))).to.match(/^3 workers ended.* alone$/);
    expectAnswers(
      all.filter((_, i) => i !== 3 && i !== 11),
      outcomes,
    );
  });

  it('keeps the first result when a frozen worker comes back', async () => {
    const all = items(['slow', ...texts(3)]);
    const frozen = await worker();
    const running = produce(all);
    while ((await redis.exists(`test:begun:${run}:0`)) === 0) await sleep(5);
    frozen.kill('SIGSTOP');
    await worker();
    const outcomes = await running;
    expectAnswers(all, outcomes);
    const stored = await redis.get(`rene:result:${run}:0`);
    frozen.kill('SIGCONT');
    for (let i = 0; i < 1000 && Number(await redis.get(`test:count:${run}:0`)) < 2; i++) {
      await sleep(30);
    }
    expect(await redis.get(`test:count:${run}:0`), 'done twice').to.equal('2');
    await sleep(50);
    expect(await redis.get(`rene:result:${run}:0`)).to.equal(stored);
  });

  it('lets a worker that is asked to end finish its slice', async () => {
    const all = items(['slow']);
    const child = await worker();
    const running = produce(all);
    while ((await redis.exists(`test:begun:${run}:0`)) === 0) await sleep(5);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    expect(code).to.equal(0);
    expectAnswers(all, await running);
    expect(await redis.get(`test:count:${run}:0`)).to.equal('1');
  });

  it('stops waiting when it is told to, and when a result cannot be taken', async () => {
    const controller = new AbortController();
    const own = await connect(server.url, () => {});
    const producer = await Producer.open(own, `m${run}`, controller.signal);
    const all = items(texts(10));
    const waiting = producer.run(all, () => {}).catch((error) => error);
    await sleep(100);
    controller.abort(new Error('stopped'));
    expect(String(await waiting)).to.equal('Error: stopped');
    expect(String(await producer.run(all, () => {}).catch((e) => e))).to.equal('Error: stopped');
    disconnect(own);
    await worker();
    const full: unknown = await produce(all, () => {
      throw new Error('the disk is full');
    }).catch((error) => error);
    expect(String(full)).to.equal('Error: the disk is full');
    expectAnswers(all, await produce(all));
  });

  it('has one model for a name', async () => {
    const { signal } = new AbortController();
    await register(redis, 'name', 'one', signal);
    await register(redis, 'name', 'one', signal);
    const error: unknown = await register(redis, 'name', 'two', signal).catch((e) => e);
    expect(String(error)).to.match(/QueueError: other workers serve another model.*one.*two/);
    let waits = 0;
    expect(await identityOf(redis, 'name', () => waits++, signal)).to.equal('one');
    const stop = new AbortController();
    const none = identityOf(redis, 'nobody', () => stop.abort(), stop.signal);
    expect(await none.catch((e) => e)).to.have.property('name', 'AbortError');
    expect(waits).to.equal(0);
  });

  it('says that nothing answers', async () => {
    const error: unknown = await connect('redis://me:secret@127.0.0.1:1', () => {}).catch((e) => e);
    expect(String(error)).to.match(
      /^QueueError: redis:\/\/127\.0\.0\.1:1: no connection: .*ECONNREFUSED/,
    );
    expect(String(error)).to.not.include('secret');
  });
});
