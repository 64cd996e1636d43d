// Compiles assembly/ into the two WebAssembly modules beside the compiled backend.
// Does nothing when they are newer than the sources: a build without changes costs nothing.
import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'dist/src/backends/simd');
const modules = [
  { file: 'kernels.wasm', flags: [] },
  { file: 'kernels_relaxed.wasm', flags: ['--enable', 'relaxed-simd'] },
];
const flags = [
  ...['--runtime', 'stub', '--noAssert', '-O3', '--importMemory', '--sharedMemory'],
  ...['--initialMemory', '16', '--maximumMemory', '65536', '--memoryBase', '1024'],
  ...['--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory'],
  // v128 parameters between kernels: no embedding ever sees them.
  ...['--disableWarning', '112'],
];

async function sources() {
  const files = await readdir(join(root, 'assembly'), { recursive: true });
  return [...files.map((file) => join(root, 'assembly', file)), fileURLToPath(import.meta.url)];
}

async function modified(path) {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return 0;
  }
}

async function compile({ file, flags: extra }) {
  const target = join(out, file);
  const temporary = `${target}.${process.pid}`;
  const require = createRequire(import.meta.url);
  const asc = join(dirname(require.resolve('assemblyscript/package.json')), 'bin/asc.js');
  await promisify(execFile)(
    process.execPath,
    [asc, 'assembly/index.ts', '-o', temporary, ...flags, ...extra],
    { cwd: root },
  );
  await rename(temporary, target);
}

const newest = Math.max(...(await Promise.all((await sources()).map(modified))));
await mkdir(out, { recursive: true });
const stale = [];
for (const module of modules) {
  if ((await modified(join(out, module.file))) < newest) stale.push(module);
}
try {
  await Promise.all(stale.map(compile));
} catch (error) {
  process.stderr.write(`${error.stderr ?? error}\n`);
  process.exitCode = 1;
}
