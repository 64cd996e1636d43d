// Bundles a worker as one script, and the parts that few models need as scripts of their own beside it.
//
// Code splitting of esbuild would make several scripts of the worker itself. Bundlers of pages copy a worker's script
// under another name, so a part could not import from it. Here a part takes what it shares with the worker from a
// global table that the worker fills.
import { basename } from 'node:path';
import esbuild from 'esbuild';
import { minify } from './minify.mjs';

/** Parts by name: the module that is imported where one is needed. */
const PARTS = new Map([
  ['chat', 'chat/python_template.js'],
  ['regex', 'tokenizer/regex_pattern.js'],
  ['lora', 'lora/load_adapter.js'],
  ['bin', 'checkpoint/pytorch_bin.js'],
  ['beams', 'generation/beam_search.js'],
  ['drafts', 'generation/drafted_loop.js'],
  ['passes', 'backends/simd/draft_passes.js'],
]);
const TABLE = 'globalThis[Symbol.for("rene.worker")]';

/** In these, modules are loaded when they are needed. */
const onDemand = {
  name: 'on-demand',
  setup(build) {
    build.onResolve({ filter: /\/(regex|template)_engine\.js$/ }, ({ path, resolveDir }) =>
      build.resolve(path.replace('.js', '_on_demand.js'), { resolveDir, kind: 'import-statement' }),
    );
  },
};

/**
 * @param options of esbuild for all scripts
 * @returns output files: the worker, `file`, and its parts, named after it
 */
export async function splitWorker(entry, file, options) {
  const chunks = await esbuild.build({
    ...{ ...options, plugins: [onDemand, ...options.plugins] },
    ...{ entryPoints: [entry], outdir: 'out', splitting: true, metafile: true },
    legalComments: 'inline',
  });
  const texts = new Map(chunks.outputFiles.map(({ path, text }) => [basename(path), text]));
  const outputs = Object.entries(chunks.metafile.outputs).map(([path, output]) => ({
    ...output,
    name: basename(path),
  }));
  const byName = new Map(outputs.map((output) => [output.name, output]));
  const partFiles = new Map();
  for (const [part, path] of PARTS) {
    const output = outputs.find(({ entryPoint }) => entryPoint?.endsWith(`/src/${path}`));
    if (!output) throw new Error(`the worker never imports ${path}`);
    partFiles.set(output.name, file.replace(/js$/, `${part}.js`));
  }
  const main = outputs.find(({ entryPoint }) => entryPoint?.endsWith(basename(entry)));
  const inMain = reachable(main.name, byName, partFiles);

  /** Names that the parts take from the worker, by chunk. */
  const shared = new Map();
  const shareAll = (name) => {
    if (!shared.has(name)) shared.set(name, byName.get(name).exports);
    const key = [...shared.keys()].indexOf(name);
    return { key, names: shared.get(name) };
  };
  const parts = await Promise.all(
    [...partFiles].map(([name, outfile]) =>
      bundleChunks(name, outfile, texts, options, (path) => {
        if (!inMain.has(path) || byName.get(path).bytes === 0) return undefined;
        const { key, names } = shareAll(path);
        const lines = names.map((each) => `export const ${each} = table.${each};`);
        return `const table = ${TABLE}[${key}];\n${lines.join('\n')}`;
      }),
    ),
  );
  const imports = [...shared.keys()].map((name, i) => `import * as t${i} from './${name}';`);
  const table = [...shared.keys()].map((_, i) => `t${i}`).join(', ');
  texts.set('worker.js', `${imports.join('\n')}\n${TABLE} = [${table}];\nimport './${main.name}';`);
  const [script, ...legal] = await bundleChunks(
    'worker.js',
    file,
    texts,
    options,
    undefined,
    partFiles,
  );
  return [script, ...legal, ...parts.flat()];
}

/** Chunks that a chunk imports, without parts. */
function reachable(from, byName, partFiles) {
  const found = new Set([from]);
  for (const name of found) {
    for (const { path } of byName.get(name).imports) {
      if (!partFiles.has(basename(path))) found.add(basename(path));
    }
  }
  return found;
}

/**
 * Joins chunks to one script.
 *
 * @param replace a chunk's contents instead of its own
 * @param parts chunks that stay scripts of their own: their files
 */
async function bundleChunks(entry, outfile, texts, options, replace, parts = new Map()) {
  const { outputFiles } = await esbuild.build({
    ...{ ...options, outfile, entryPoints: [entry], legalComments: 'linked' },
    plugins: [
      {
        name: 'chunks',
        setup(build) {
          build.onResolve({ filter: /./ }, ({ path, kind }) => {
            const name = basename(path);
            if (parts.has(name)) return { path: `./${basename(parts.get(name))}`, external: true };
            return { path: name, namespace: kind === 'entry-point' ? 'entry' : 'chunk' };
          });
          build.onLoad({ filter: /./ }, ({ path, namespace }) => ({
            contents: (namespace === 'chunk' ? replace?.(path) : undefined) ?? texts.get(path),
          }));
        },
      },
    ],
  });
  const minified = await Promise.all(outputFiles.map(minify));
  return minified.map(({ path, text }) => ({ path, text: withUrls(text) }));
}

/** Imports of parts by a URL, in the form in which bundlers copy a file. They do not follow the import itself. */
function withUrls(script) {
  return script.replace(
    /import\(("\.\/rene\.worker[\w.]+")\)/g,
    (_, path) =>
      `import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(${path}, import.meta.url).href)`,
  );
}
