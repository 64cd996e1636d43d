// Starting the backend: threads, memory, and the messages if they are not available.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Allocator } from '../../../src/backends/simd/allocator.js';
import { createMemory } from '../../../src/backends/simd/create_memory.js';
import { availableCores } from '../../../src/backends/simd/platform.js';
import { chooseThreads } from '../../../src/backends/simd/threads.js';
import { webAssembly } from '../../../src/backends/simd/webassembly.js';
import { BackendError, InvalidArgumentError } from '../../../src/errors.js';

/** Lines that `run` prints with console.warn. */
async function warningsOf(run: () => unknown): Promise<string[]> {
  const { warn } = console;
  const warnings: string[] = [];
  console.warn = (text: string) => warnings.push(text);
  try {
    await run();
  } finally {
    console.warn = warn;
  }
  return warnings;
}

describe('simd: threads', () => {
  const before = process.env.RENE_THREADS;
  beforeEach(() => {
    delete process.env.RENE_THREADS;
  });
  after(() => {
    if (before !== undefined) process.env.RENE_THREADS = before;
  });

  it('default to the number of cores', async () => {
    const cores = await availableCores();
    expect(await chooseThreads({})).to.equal(cores);
    expect(await chooseThreads({ threads: 1 })).to.equal(1);
    process.env.RENE_THREADS = '1';
    expect(await chooseThreads({})).to.equal(1);
    expect(await chooseThreads({ threads: cores })).to.equal(cores);
  });

  it('are limited to the number of cores, with a notice of one line', async () => {
    const cores = await availableCores();
    const found: number[] = [];
    const warnings = await warningsOf(async () => {
      found.push(await chooseThreads({ threads: cores + 1 }));
      process.env.RENE_THREADS = '1000';
      found.push(await chooseThreads({}));
    });
    expect(found).to.deep.equal([cores, cores]);
    expect(warnings.map((text) => text.replace(/ cores?;/, ' cores;'))).to.deep.equal([
      `threads: this process may use ${cores} cores; using ${cores} instead of ${cores + 1} threads`,
      `RENE_THREADS: this process may use ${cores} cores; using ${cores} instead of 1000 threads`,
    ]);
  });

  it('can exceed the number of cores if requested explicitly', async () => {
    const asked = (await availableCores()) + 3;
    expect(await chooseThreads({ threads: asked, oversubscribe: true })).to.equal(asked);
  });

  for (const wrong of ['0', '-1', '1.5', 'two', '1025', '1e99']) {
    it(`refuse ${wrong}`, async () => {
      process.env.RENE_THREADS = wrong;
      const error = await chooseThreads({}).catch((found: unknown) => found);
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect(String(error)).to.contain(
        `RENE_THREADS: expected a whole number from 1 to 1024, found ${wrong}`,
      );
    });
  }

  it('that are wrong are an error, and no reason to take another backend', async () => {
    const script = fileURLToPath(new URL('./used_backend.js', import.meta.url));
    const env = { ...process.env, RENE_THREADS: 'many' };
    const { stdout } = await promisify(execFile)(process.execPath, [script, 'auto'], { env });
    expect(stdout).to.match(/^InvalidArgumentError: RENE_THREADS: expected .*, found many\n$/);
  });

  it('respect the CPU affinity', async function () {
    if (!existsSync('/usr/bin/taskset')) this.skip();
    const url = new URL('../../../src/backends/simd/platform.js', import.meta.url);
    const script = `import { availableCores } from ${JSON.stringify(url)}; console.log(await availableCores());`;
    const args = ['-c', '0', process.execPath, '--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)('/usr/bin/taskset', args);
    expect(stdout).to.equal('1\n');
  });
});

describe('simd: memory', () => {
  const pagesOf = (gib: number) => gib * 16384;

  /** Simulates a platform that refuses memory with a maximum of more than `most` pages. */
  function whereRefused<T>(most: number, run: () => T): T {
    const { Memory } = webAssembly;
    webAssembly.Memory = class extends Memory {
      constructor(limits: { initial: number; maximum: number; shared: true }) {
        if (limits.maximum > most) throw new RangeError('could not allocate memory');
        super(limits);
      }
    };
    try {
      return run();
    } finally {
      webAssembly.Memory = Memory;
    }
  }

  for (const [most, gib] of [
    [pagesOf(4), 4],
    [pagesOf(4) - 1, 3],
    [40000, 2],
    [pagesOf(1), 1],
    [5000, 0.25],
  ] as const) {
    it(`is at most ${gib} GiB if ${most} pages can be reserved`, async () => {
      let pages = 0;
      const warnings = await warningsOf(() => {
        pages = whereRefused(most, createMemory).maximumPages;
      });
      expect(pages).to.equal(pagesOf(gib));
      const notice = `simd: the platform refuses 4 GiB of shared memory; using up to ${gib} GiB`;
      expect(warnings).to.deep.equal(gib === 4 ? [] : [notice]);
    });
  }

  it('reports an error if no memory can be reserved', () => {
    expect(() => whereRefused(100, createMemory)).to.throw(
      BackendError,
      /cannot reserve address space/,
    );
  });

  it('names its limit when it is full', () => {
    const { memory, maximumPages } = whereRefused(pagesOf(0.25), () => silently(createMemory));
    const allocator = new Allocator(memory, maximumPages);
    allocator.allocate(100 << 20);
    expect(() => allocator.allocate(200 << 20)).to.throw(
      BackendError,
      /holds at most 0.25 GiB: 0.1 GiB are in use and 0.2 GiB more were asked for/,
    );
    expect(allocator.freeBytes).to.be.below(156 << 20);
    allocator.allocate(100 << 20);
  });

  it('a process without memory prints one line and no stack, on any backend', async function () {
    if (process.platform !== 'linux') this.skip();
    const script = fileURLToPath(new URL('./used_backend.js', import.meta.url));
    const run = (name: string) =>
      promisify(execFile)('/bin/sh', [
        '-c',
        `ulimit -v 8000000 && exec "${process.execPath}" "${script}" ${name}`,
      ]);
    // Node reserves 8 GiB or more for any memory, unless --disable-wasm-trap-handler is given.
    const auto = await run('auto');
    const named = await run('simd');
    if (auto.stdout === 'cpu\n') {
      expect(auto.stderr).to.match(/^the backend 'simd' cannot .* Using the backend 'cpu'.*\n$/);
      expect(named.stdout).to.match(/^BackendError: the backend 'simd' cannot reserve .*\n$/);
    }
    expect(named.stderr + auto.stderr).not.to.contain('    at ');
  });
});

function silently<T>(run: () => T): T {
  const { warn } = console;
  console.warn = () => {};
  try {
    return run();
  } finally {
    console.warn = warn;
  }
}
