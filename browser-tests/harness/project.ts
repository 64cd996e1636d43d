// Projects of a user who has installed the published packages: the output of `npm pack`, in a folder outside
// this repository.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

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

/** Mocha's, by --require in package.json: packs once, before all files. */
export async function mochaGlobalSetup(): Promise<void> {
  process.env[PACKAGES] = await packPackages();
}

export async function mochaGlobalTeardown(): Promise<void> {
  await rm(process.env[PACKAGES] ?? '', { recursive: true, force: true });
}

/** What `npm pack` makes of the packages, unpacked. @returns their folder */
async function packPackages(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rene-packages-'));
  for (const name of ['layers', 'rene']) {
    const args = ['pack', '--json', '--pack-destination', dir];
    const { stdout } = await run('npm', args, { cwd: join(repository, 'packages', name) });
    const file = /"filename": "(.*)"/.exec(stdout)?.[1] ?? '';
    await mkdir(join(dir, name));
    await run('tar', ['-xzf', join(dir, file), '-C', join(dir, name), '--strip-components', '1']);
    await rm(join(dir, file));
  }
  return dir;
}

export class Projects {
  private constructor(private readonly dir: string) {}

  /** Installs the packed packages for all projects: their folders are below that of node_modules. */
  static async create(): Promise<Projects> {
    const dir = await mkdtemp(join(tmpdir(), 'rene-browser-'));
    const modules = join(dir, 'node_modules');
    await mkdir(join(modules, '@rene-js'), { recursive: true });
    const packed = process.env[PACKAGES] ?? (await packPackages());
    await cp(packed, join(modules, '@rene-js'), { recursive: true });
    // The packages' own dependencies, as this repository's lock file names them.
    for (const dependency of await readdir(join(repository, 'node_modules'))) {
      if (dependency.startsWith('.') || dependency === '@rene-js') continue;
      await symlink(join(repository, 'node_modules', dependency), join(modules, dependency));
    }
    return new Projects(dir);
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
