// Bundles the workers and the ready-made file for pages without a bundler into dist/, beside the kernels. Does nothing
// when they are newer than the compiled packages.
import { copyFile, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import esbuild from 'esbuild';
import { minify } from './minify.mjs';
import { smallTfjs } from './small_tfjs.mjs';
import { splitWorker } from './split_worker.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const compiled = join(dist, 'src/browser');
const layers = join(root, '../layers/dist/src');
const KERNEL_FILES = ['kernels.wasm', 'kernels_relaxed.wasm', 'worker_browser.js'];
const WORKERS = [
  { entry: 'simd_worker.js', file: 'rene.worker.js', copy: 'worker_simd.js' },
  { entry: 'webgpu_worker.js', file: 'rene.worker.webgpu.js', copy: 'worker_webgpu.js' },
];

/** Leaves the embedded copies of files out: a file that is not served is then an error that names it. */
const withoutCopies = {
  name: 'without-copies',
  setup(build) {
    const filter = /\/embedded\/\w+\.js$/;
    build.onResolve({ filter }, ({ path }) => ({ path, namespace: 'none' }));
    build.onLoad({ filter, namespace: 'none' }, () => ({
      contents: "throw new Error('This script has no embedded copy');",
    }));
  },
};

/** The ready-made file is in the folder of the workers. */
const besideWorkers = {
  name: 'beside-workers',
  setup(build) {
    build.onLoad({ filter: /browser\/start_worker\.js$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replaceAll('../../', './'),
    }));
  },
};

const options = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'linked',
  logLevel: 'error',
  write: false,
};

async function bundle(entry, file, plugins) {
  const { outputFiles } = await esbuild.build({
    ...options,
    entryPoints: [join(compiled, entry)],
    outfile: join(dist, file),
    plugins,
  });
  return Promise.all(outputFiles.map(minify));
}

async function replace(path, contents) {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, contents);
  await rename(temporary, path);
}

async function buildWorker({ entry, file, copy }) {
  const [scripts, whole] = await Promise.all([
    splitWorker(join(compiled, 'worker', entry), join(dist, file), {
      ...options,
      plugins: [smallTfjs, withoutCopies],
    }),
    bundle(join('worker', entry), file, [smallTfjs]),
  ]);
  for (const { path, text } of scripts) await replace(path, text);
  const script = whole.find(({ path }) => path.endsWith('.js'))?.text ?? '';
  const packed = await promisify(gzip)(script, { level: 9 });
  const text = `export default ${JSON.stringify(packed.toString('base64'))};\n`;
  await replace(join(compiled, 'embedded', copy), text);
}

async function build() {
  await mkdir(join(compiled, 'embedded'), { recursive: true });
  const copies = KERNEL_FILES.map((name) =>
    copyFile(join(layers, 'backends/simd', name), join(dist, name)),
  );
  await Promise.all([...copies, ...WORKERS.map(buildWorker)]);
  // Written last: its time shows that the other files are complete.
  for (const { path, text } of await bundle('index.js', 'rene.browser.js', [
    besideWorkers,
    withoutCopies,
  ])) {
    await replace(path, text);
  }
}

const modified = async (path) => (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;

/** When the newest compiled file of a folder was written. */
async function newest(folder) {
  const names = await readdir(folder, { recursive: true });
  const inputs = names.filter(
    (name) => /\.(js|wasm)$/.test(name) && !/embedded.worker_/.test(name),
  );
  return Math.max(...(await Promise.all(inputs.map((name) => modified(join(folder, name))))));
}

const scripts = ['build_browser.mjs', 'minify.mjs', 'small_tfjs.mjs', 'split_worker.mjs'].map(
  (name) => new URL(name, import.meta.url),
);
const times = await Promise.all([
  newest(join(dist, 'src')),
  newest(layers),
  ...scripts.map((url) => modified(fileURLToPath(url))),
]);
if ((await modified(join(dist, 'rene.browser.js'))) <= Math.max(...times)) await build();
