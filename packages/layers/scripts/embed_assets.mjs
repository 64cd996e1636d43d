// Writes the WebAssembly modules and the browser's worker as JavaScript modules, beside the compiled backend: copies
// for bundlers that leave the files out. Does nothing when they are newer than the files.
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const backend = fileURLToPath(new URL('../dist/src/backends/simd', import.meta.url));

const compressed = async (bytes) => (await promisify(gzip)(bytes, { level: 9 })).toString('base64');
const text = (bytes) => String(bytes).replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');

const copies = [
  { file: 'kernels.wasm', module: 'kernels.js', encode: compressed },
  { file: 'kernels_relaxed.wasm', module: 'kernels_relaxed.js', encode: compressed },
  { file: 'worker_browser.js', module: 'worker.js', encode: text },
];

const modified = async (path) => (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;

await mkdir(join(backend, 'embedded'), { recursive: true });
const newest = await modified(fileURLToPath(import.meta.url));
for (const { file, module, encode } of copies) {
  const [source, target] = [join(backend, file), join(backend, 'embedded', module)];
  if ((await modified(target)) >= Math.max(await modified(source), newest)) continue;
  const temporary = `${target}.${process.pid}`;
  await writeFile(
    temporary,
    `export default ${JSON.stringify(await encode(await readFile(source)))};\n`,
  );
  await rename(temporary, target);
}
