// Each bundler with its default settings, or with the one setting that README.md names.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';
import esbuild from 'esbuild';
import { rollup } from 'rollup';
import webpack from 'webpack';
import { isolation } from './static_server.js';

/** Bundles main.js of a project; returns the folder to serve. */
export type Build = (project: string) => Promise<string>;

export type ViteVersion = 'vite5' | 'vite6' | 'vite7' | 'vite8';
export const viteVersions: readonly ViteVersion[] = ['vite5', 'vite6', 'vite7', 'vite8'];

/** The part of Vite's interface that the tests use, the same in all versions. */
interface Vite {
  build(config: object): Promise<unknown>;
  createServer(config: object): Promise<{
    listen(): Promise<unknown>;
    close(): Promise<void>;
    resolvedUrls: { local: string[] } | null;
  }>;
}

const loadVite = (version: ViteVersion): Promise<Vite> => import(version);

export const viteBuild =
  (version: ViteVersion): Build =>
  async (root) => {
    await (await loadVite(version)).build({
      ...{ root, logLevel: 'error' },
      // Not part of the output.
      build: { reportCompressedSize: false },
    });
    return join(root, 'dist');
  };

/** Vite's development server. */
export async function viteServer(
  version: ViteVersion,
  root: string,
  isolated: boolean,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = await (await loadVite(version)).createServer({
    root,
    logLevel: 'error',
    server: { port: 0, headers: isolated ? isolation : {} },
  });
  await server.listen();
  return { url: server.resolvedUrls?.local[0] ?? '', close: () => server.close() };
}

export const webpackBuild =
  (mode: 'production' | 'development'): Build =>
  async (context) => {
    // The defaults of the command line, which the library takes from the working directory.
    const output = { path: join(context, 'dist') };
    const compiler = webpack({ context, mode, entry: './main.js', output });
    if (!compiler) throw new Error('webpack has no compiler');
    const stats = await new Promise<webpack.Stats>((resolve, reject) =>
      compiler.run((error, result) => (result ? resolve(result) : reject(error))),
    );
    if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
    return withPage(join(context, 'dist'), '<script src="main.js"></script>');
  };

/** Bundles into one file, as a module or a classic script, or into modules that are loaded on demand. */
export const esbuildBuild =
  (kind: 'esm' | 'iife' | 'split'): Build =>
  async (project) => {
    await esbuild.build({
      entryPoints: [join(project, 'main.js')],
      bundle: true,
      format: kind === 'iife' ? 'iife' : 'esm',
      splitting: kind === 'split',
      outdir: join(project, 'dist'),
      logLevel: 'error',
    });
    const type = kind === 'iife' ? '' : ' type="module"';
    return withPage(join(project, 'dist'), `<script${type} src="main.js"></script>`);
  };

export const rollupBuild: Build = async (project) => {
  const bundle = await rollup({
    input: join(project, 'main.js'),
    plugins: [nodeResolve({ browser: true }), commonjs()],
    onwarn(warning) {
      // tfjs-core's packages have import cycles, which this message reports.
      if (!['CIRCULAR_DEPENDENCY', 'THIS_IS_UNDEFINED'].includes(warning.code ?? '')) {
        throw new Error(warning.message);
      }
    },
  });
  await bundle.write({ dir: join(project, 'dist'), format: 'es' });
  await bundle.close();
  return withPage(join(project, 'dist'), '<script type="module" src="main.js"></script>');
};

/** Writes a page that loads the bundle next to it. */
async function withPage(dir: string, script: string): Promise<string> {
  await writeFile(join(dir, 'index.html'), `<!doctype html><meta charset="utf-8">${script}\n`);
  return dir;
}
