// Locks between processes with living, killed, suspended and unknown owners.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { type LockOptions, withLock } from '../../src/checkpoint/lock.js';
import { isAlive, thisProcess } from '../../src/checkpoint/process_identity.js';

const child = fileURLToPath(new URL('./lock_child.js', import.meta.url));

describe('lock', () => {
  const folder = temporaryFolders();
  let lock: string;
  let holder: ChildProcess;

  beforeEach(() => {
    lock = join(folder(), 'lock');
  });
  afterEach(() => holder?.kill('SIGKILL'));

  /** Starts a process that holds the lock. */
  async function hold(): Promise<void> {
    holder = spawn(process.execPath, [child, lock], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (holder.stdout) await once(holder.stdout, 'data');
  }
  /** Whether the lock can be taken before it is stale. */
  async function isFree(options: LockOptions = {}): Promise<boolean> {
    const signal = AbortSignal.timeout(700);
    return withLock(lock, { ...options, signal }, async () => true).catch(() => false);
  }
  const age = (path: string) => utimesSync(path, new Date(), new Date(Date.now() - 60_000));

  it('of a killed process is taken over at once; that of a living one is not', async () => {
    await hold();
    const pids: unknown[] = [];
    expect(await isFree({ onWait: (pid) => pids.push(pid) })).to.equal(false);
    expect(pids).to.deep.equal([holder.pid]);
    holder.kill('SIGKILL');
    await once(holder, 'close');
    expect(existsSync(lock)).to.equal(true);
    expect(await isFree()).to.equal(true);
    expect(readdirSync(dirname(lock))).to.deep.equal([]);
  });

  it('of a killed process that its parent has not noticed is taken over', async function () {
    if (process.platform !== 'linux') this.skip();
    const command = `"${process.execPath}" "${child}" "${lock}" & exec sleep 60`;
    holder = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (holder.stdout) await once(holder.stdout, 'data');
    const { pid } = JSON.parse(readFileSync(lock, 'utf8'));
    process.kill(pid, 'SIGKILL');
    // It stays in /proc until the parent, which never does, waits for it.
    while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) await sleep(5);
    expect(await isFree()).to.equal(true);
  });

  it('is taken over by one process only', async () => {
    writeFileSync(lock, JSON.stringify({ ...(await thisProcess()), pid: 2 ** 30, id: 'dead' }));
    const claim = `${lock}.takeover`;
    writeFileSync(claim, ''); // another process is about to remove the lock
    expect(await isFree()).to.equal(false);
    age(claim); // it died
    expect(await isFree()).to.equal(true);
    expect(readdirSync(dirname(lock))).to.deep.equal([]);
  });

  it('of a suspended process is kept, at any age', async function () {
    if (process.platform !== 'linux') this.skip();
    await hold();
    holder.kill('SIGSTOP');
    age(lock);
    expect(await isFree()).to.equal(false);
  });

  it('of an unknown process is taken over when it is stale', async () => {
    const elsewhere = JSON.stringify({ host: 'elsewhere', pid: 1, started: '1', id: 'x' });
    for (const content of ['', 'not JSON', '7', '{"pid":1}', elsewhere]) {
      writeFileSync(lock, content);
      expect(await isFree(), content).to.equal(false);
      age(lock);
      expect(await isFree(), content).to.equal(true);
    }
  });

  it('identifies its owner, so that a later process with the same id is another one', async function () {
    if (process.platform !== 'linux') this.skip();
    const self = await thisProcess();
    expect(await isAlive(self)).to.equal(true);
    expect(await isAlive({ ...self, started: '1' })).to.equal(false);
    expect(await isAlive({ ...self, pid: 2 ** 30 })).to.equal(false);
    expect(await isAlive({ ...self, host: 'elsewhere' })).to.equal(undefined);
    await withLock(lock, {}, async () => {
      expect(JSON.parse(readFileSync(lock, 'utf8'))).to.include(self);
    });
  });

  it('has one owner at a time, even if previous owners died', async () => {
    for (let round = 0; round < 5; round++) {
      writeFileSync(lock, JSON.stringify({ ...(await thisProcess()), pid: 2 ** 30, id: 'dead' }));
      let holders = 0;
      let runs = 0;
      const one = async () => {
        expect(++holders).to.equal(1);
        await sleep(1);
        holders--;
        runs++;
      };
      await Promise.all(Array.from({ length: 4 }, () => withLock(lock, {}, one)));
      expect(runs).to.equal(4);
      expect(readdirSync(dirname(lock))).to.deep.equal([]);
    }
  });

  it('is refreshed by an owner that others cannot look up', async () => {
    const order: string[] = [];
    const first = withLock(lock, { staleMs: 300 }, async () => {
      // As if written on another machine.
      writeFileSync(lock, '');
      order.push('first begins');
      await sleep(900);
      order.push('first ends');
    });
    await sleep(50);
    const aborted = withLock(lock, { staleMs: 300, signal: AbortSignal.timeout(500) }, async () => {
      order.push('second');
    }).catch(() => order.push('still held'));
    await Promise.all([first, aborted]);
    expect(order).to.deep.equal(['first begins', 'still held', 'first ends']);
  });

  it('is released after a failure, and left alone if another process took it over', async () => {
    const failing = withLock(lock, {}, async () => {
      throw new Error('inside');
    });
    expect(await failing.catch(String)).to.equal('Error: inside');
    expect(existsSync(lock)).to.equal(false);
    await withLock(lock, {}, async () => writeFileSync(lock, "another's"));
    expect(readFileSync(lock, 'utf8')).to.equal("another's");
  });
});
