// Projects of a user who has installed the published packages: the output of `npm pack`, in a folder outside
// this repository.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { shareBrowser } from './chromium.js';

const run = promisify(execFile);

/** The root of this repository. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url));

/** The ready-made file and the workers. */
export const readyMade = join(repository, 'packages/rene/dist');

/** A page without scripts. */
export const blank = join(repository, 'browser-tests/app/blank');

export const reneTiny = join(repository, 'packages/rene/models/rene-tiny');

/** The environment variable with the folder of the packed packages, which all test files share. */
const PACKAGES = 'RENE_BROWSER_PACKAGES';

let endBrowser = async () => {};

/** Mocha's, by --require in package.json: packs and starts a browser once, before all files. */
export async function mochaGlobalSetup(): Promise<void> {
  const [dir, end] = await Promise.all([installPackages(), shareBrowser()]);
  process.env[PACKAGES] = dir;
  endBrowser = end;
}

export async function mochaGlobalTeardown(): Promise<void> {
  await endBrowser();
  await rm(process.env[PACKAGES] ?? '', { recursive: true, force: true });
}

/** Installs what `npm pack` makes of the packages. @returns the folder of all projects */
async function installPackages(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'rene-browser-'));
  const modules = join(root, 'node_modules');
  const dir = join(modules, '@rene-js');
  await mkdir(dir, { recursive: true });
  // The packages' own dependencies, as this repository's lock file names them.
  for (const dependency of await readdir(join(repository, 'node_modules'))) {
    if (dependency.startsWith('.') || dependency === '@rene-js') continue;
    await symlink(join(repository, 'node_modules', dependency), join(modules, dependency));
  }
  for (const name of ['layers', 'rene']) {
    const args = ['pack', '--json', '--pack-destination', dir];
    const { stdout } = await run('npm', args, { cwd: join(repository, 'packages', name) });
    const file = /"filename": "(.*)"/.exec(stdout)?.[1] ?? '';
    await mkdir(join(dir, name));
    await run('tar', ['-xzf', join(dir, file), '-C', join(dir, name), '--strip-components', '1']);
    await rm(join(dir, file));
  }
  return root;
}

export class Projects {
  private constructor(private readonly dir: string) {}

  /** A folder for projects of a test file, below that of node_modules. */
  static async create(): Promise<Projects> {
    const root = process.env[PACKAGES] ?? (await installPackages());
    return new Projects(await mkdtemp(join(root, 'projects-')));
  }

  /** The installed packages. */
  get modules(): string {
    return join(this.dir, '../node_modules');
  }

  /** The folder of a new project with the page of `app/`, or other files. */
  async add(name: string, files?: Record<string, string>): Promise<string> {
    const project = join(this.dir, name);
    await mkdir(project, { recursive: true });
    await writeFile(join(project, 'package.json'), '{ "type": "module" }\n');
    if (!files) await cp(join(repository, 'browser-tests/app'), project, { recursive: true });
    for (const [path, text] of Object.entries(files ?? {})) {
      await writeFile(join(project, path), text);
    }
    return project;
  }

  remove(): Promise<void> {
    return rm(this.dir, { recursive: true, force: true });
  }
}
