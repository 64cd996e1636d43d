// Projects of a user who has installed the published packages: what `npm pack` makes of them, in a folder outside of
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

export const reneTiny = join(repository, 'packages/rene/models/rene-tiny');

export class Projects {
  private constructor(private readonly dir: string) {}

  /** Installs the packed packages for all projects: their folders are below that of node_modules. */
  static async create(): Promise<Projects> {
    const dir = await mkdtemp(join(tmpdir(), 'rene-browser-'));
    const modules = join(dir, 'node_modules');
    for (const name of ['layers', 'rene']) {
      const args = ['pack', '--json', '--pack-destination', dir];
      const { stdout } = await run('npm', args, { cwd: join(repository, 'packages', name) });
      const file = /"filename": "(.*)"/.exec(stdout)?.[1] ?? '';
      const target = join(modules, '@rene-js', name);
      await mkdir(target, { recursive: true });
      await run('tar', ['-xzf', join(dir, file), '-C', target, '--strip-components', '1']);
    }
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
