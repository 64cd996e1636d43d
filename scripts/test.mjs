// Runs the tests in parallel: one process per file, on every core.
//
//   npm test                       every test
//   npm test -- sampling           the files with "sampling" in their path
//   npm test -- sampling --grep k  further options are passed to mocha
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The slowest files, which are started first, so that no core waits for the last one. */
const SLOW = [
  'scale_out/queue',
  'verify/other_shapes',
  'generation/compiled_step',
  'commands/examples',
  'documentation/commands',
  'model/tfjs_backends',
  'commands/interrupted',
  'generation/batches',
  'commands/serve',
  'training/trainer',
  'webgpu/ops',
  'commands/train_command',
  'commands/bench',
  'model/dtypes',
  'checkpoint/proxy',
];

const args = process.argv.slice(2);
const firstOption = args.findIndex((arg) => arg.startsWith('-'));
const patterns = firstOption < 0 ? args : args.slice(0, firstOption);
const options = firstOption < 0 ? [] : args.slice(firstOption);

const all = testFiles('packages').sort((a, b) => rank(a) - rank(b));
const files =
  patterns.length === 0
    ? all
    : all.filter((file) => patterns.some((pattern) => file.includes(compiled(pattern))));
if (files.length === 0) {
  console.error(`error: no test file has ${patterns.join(' or ')} in its path`);
  process.exit(1);
}

const jobs = Math.min(availableParallelism(), files.length);
const parallel = jobs > 1 ? ['--parallel', '--jobs', String(jobs)] : [];
// Files share the cores, so more threads per file would only wait for each other.
const env = { RENE_THREADS: jobs > 1 ? '1' : undefined, ...process.env };
const mocha = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
const { status } = spawnSync(process.execPath, [mocha, ...parallel, ...options, ...files], {
  stdio: 'inherit',
  env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)),
});
process.exit(status ?? 1);

function testFiles(folder) {
  return readdirSync(folder)
    .map((name) => join(folder, name, 'dist', 'test'))
    .filter((tests) => existsSync(tests))
    .flatMap((tests) => readdirSync(tests, { recursive: true }).map((path) => join(tests, path)))
    .filter((path) => path.endsWith('.test.js') && existsSync(sourceOf(path)));
}

/** The build keeps the compiled files of removed or renamed tests. */
function sourceOf(path) {
  return path.replace(join('dist', 'test'), 'test').replace(/\.js$/, '.ts');
}

function rank(file) {
  const place = SLOW.findIndex((name) => file.endsWith(`${name}.test.js`));
  return place < 0 ? SLOW.length : place;
}

/** test/ops/a.test.ts is compiled to dist/test/ops/a.test.js. */
function compiled(pattern) {
  return pattern.replace(/(^|\/)test\/(.*)\.ts$/, '$1dist/test/$2.js');
}
