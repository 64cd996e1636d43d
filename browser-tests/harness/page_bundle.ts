// Scripts of this repository bundled for a page, with modules that a page has otherwise.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import esbuild from 'esbuild';
import { repository } from './project.js';

/**
 * Writes `main.js` and a page that runs it.
 *
 * @param replaced code of modules by the name that they are imported by
 * @param define expressions that are replaced
 */
export async function bundleForPage(
  folder: string,
  main: string,
  replaced: Readonly<Record<string, string>> = {},
  define: Record<string, string> = {},
): Promise<void> {
  await esbuild.build({
    stdin: { contents: main, resolveDir: repository },
    ...{ bundle: true, format: 'esm', platform: 'browser', logLevel: 'error' },
    ...{ outfile: join(folder, 'main.js'), define },
    plugins: [{ name: 'replaced', setup: (build) => replaceModules(build, replaced) }],
  });
  const html =
    '<!doctype html><meta charset="utf-8"><script type="module" src="main.js"></script>\n';
  await writeFile(join(folder, 'index.html'), html);
}

/** A compiled file of the packages, as an import names it. */
export function compiled(path: string): string {
  return JSON.stringify(join(repository, path));
}

function replaceModules(
  build: esbuild.PluginBuild,
  replaced: Readonly<Record<string, string>>,
): void {
  build.onResolve({ filter: /^@rene-js\// }, ({ path }) => {
    return path in replaced ? { path, namespace: 'replaced' } : undefined;
  });
  build.onLoad({ filter: /.*/, namespace: 'replaced' }, ({ path }) => {
    return { contents: replaced[path] ?? '', resolveDir: repository };
  });
}
