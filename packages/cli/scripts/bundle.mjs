// Bundles the command `rene`, with the code of our other packages, into dist/bundle/: a start then loads some 80 modules
// instead of 380. Packages of others stay outside, so that tfjs is loaded once. Does nothing when the bundle is
// newer than the compiled packages.
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundle = join(root, 'dist/bundle');
const packages = ['layers', 'rene', 'cli'].map((name) => join(root, '..', name));
/** The command, and the scripts of its threads. */
const ENTRIES = ['main', 'serving/model_worker', 'serving/tokenizer_worker'];

/** Modules that look for files beside them find those of their own package. */
const filesOfPackages = {
  name: 'files-of-packages',
  setup(build) {
    build.onLoad({ filter: /[\\/]packages[\\/](layers|rene)[\\/]dist[\\/]src[\\/].*\.js$/ }, load);
  },
};

async function load({ path }) {
  const contents = await readFile(path, 'utf8');
  if (!contents.includes('import.meta.url')) return undefined;
  const folder = packages.find((name) => path.startsWith(name + sep));
  const { name } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = relative(folder, path).replaceAll(sep, '/');
  // On the first line, so that the source map's line numbers stay right.
  return {
    contents: `const moduleUrl = urlIn(${JSON.stringify(name)}, ${JSON.stringify(file)});${contents.replaceAll('import.meta.url', 'moduleUrl')}`,
  };
}

/** Defines urlIn in each script. The packages are found as Node finds them: beside this one or within it. */
const banner = `import { createRequire as requireFrom } from 'node:module';
import { pathToFileURL as toFileUrl } from 'node:url';
const urlIn = (name, file) =>
  new URL(file, toFileUrl(requireFrom(import.meta.url).resolve(name + '/package.json'))).href;`;

/** Leaves the packages of others outside, all of which have to be declared in package.json. */
function othersOutside(declared) {
  return {
    name: 'others-outside',
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, ({ path, kind, importer }) => {
        if (kind === 'entry-point' || path.startsWith('@rene-js/')) return undefined;
        const [, name] = /^((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
        if (path.startsWith('node:') || builtinModules.includes(name) || declared.has(name)) {
          return { path, external: true };
        }
        return { errors: [{ text: `${importer} imports ${name}: declare it in packages/cli` }] };
      });
    },
  };
}

async function build() {
  const { default: esbuild } = await import('esbuild');
  const settings = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const { dependencies, optionalDependencies, peerDependencies } = settings;
  const declared = { ...dependencies, ...optionalDependencies, ...peerDependencies };
  // Built aside, so that no half bundle is ever run.
  const aside = `${bundle}.${process.pid}`;
  await esbuild.build({
    entryPoints: ENTRIES.map((name) => join(root, 'dist/src', `${name}.js`)),
    entryNames: '[name]',
    outdir: aside,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: banner },
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'error',
    plugins: [filesOfPackages, othersOutside(new Set(Object.keys(declared)))],
  });
  await rm(bundle, { recursive: true, force: true });
  await rename(aside, bundle);
}

const modified = async (path) => (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;

/** When the newest compiled file of a package was written. */
async function newest(folder) {
  const names = await readdir(join(folder, 'dist/src'), { recursive: true });
  const files = names.filter((name) => name.endsWith('.js'));
  return Math.max(
    ...(await Promise.all(files.map((name) => modified(join(folder, 'dist/src', name))))),
  );
}

/** Builds the bundle where it is missing or older than the compiled packages. */
export async function bundleCommand() {
  const inputs = [fileURLToPath(import.meta.url), join(root, 'package.json')];
  const times = await Promise.all([...packages.map(newest), ...inputs.map(modified)]);
  if ((await modified(join(bundle, 'main.js'))) <= Math.max(...times)) await build();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await bundleCommand();
