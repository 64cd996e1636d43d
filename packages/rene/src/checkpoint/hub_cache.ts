// The Hugging Face cache folder in the layout of Python's huggingface_hub, so that both share it:
// models--org--name/{refs/main, blobs/<etag>, snapshots/<commit>/<file> -> ../../blobs/<etag>}.
import { copyFile, readdir, readFile, readlink, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { HubError } from '../errors.js';
import { type Environment, expandPath } from './expand_path.js';
import { makeFolder } from './make_folder.js';
import { fileExists, folderExists, writeFileAtomically } from './node_files.js';

/** HF_HOME, or where it is by default. */
export function hubHome(env: Environment = process.env): string {
  const home = folderOf('HF_HOME', env);
  return (
    home ?? join(folderOf('XDG_CACHE_HOME', env) ?? expandPath('~/.cache', '', env), 'huggingface')
  );
}

/** HF_HUB_CACHE, or the hub folder of HF_HOME. */
export function hubCacheDir(env: Environment = process.env): string {
  const cache = folderOf('HF_HUB_CACHE', env) ?? folderOf('HUGGINGFACE_HUB_CACHE', env);
  return cache ?? join(hubHome(env), 'hub');
}

function folderOf(name: string, env: Environment): string | undefined {
  const path = env[name];
  return path ? expandPath(path, name, env) : undefined;
}

/** A full commit hash, which is immutable. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Repository types, as in the hub's URLs and the cache's folder names. */
export type RepoKind = 'models' | 'datasets';

/** The cached files of one repository. */
export class RepoCache {
  readonly dir: string;

  constructor(cacheDir: string, repo: string, kind: RepoKind = 'models') {
    this.dir = join(cacheDir, `${kind}--${repo.replace('/', '--')}`);
  }

  /** The commit of a branch or tag when it was last looked up. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(this.refPath(revision), 'utf8').catch(() => '');
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async rememberRef(revision: string, commit: string): Promise<void> {
    // A complete cache may be read-only.
    if ((await this.commitOf(revision)) === commit) return;
    const bytes = new TextEncoder().encode(commit);
    await writeFileAtomically(this.refPath(revision), (put) => put(bytes));
  }

  snapshot(commit: string): string {
    return join(this.dir, 'snapshots', commit);
  }

  /** Names of a commit's complete files in the cache. */
  async cachedFiles(commit: string): Promise<string[]> {
    const dir = this.snapshot(commit);
    if (!(await folderExists(dir))) return [];
    const names = await readdir(dir);
    const whole = await Promise.all(names.map((name) => fileExists(join(dir, name))));
    return names.filter((_, i) => whole[i]);
  }

  /** Path of the blob with that hash. */
  blob(hash: string): string {
    return join(this.dir, 'blobs', hash);
  }

  /** Links a downloaded blob into a snapshot; copies it if links are not supported. */
  async link(commit: string, file: string, hash: string): Promise<void> {
    const path = join(this.snapshot(commit), file);
    makeFolder(dirname(path));
    const target = relative(dirname(path), this.blob(hash));
    if ((await readlink(path).catch(() => undefined)) === target) return;
    await rm(path, { force: true });
    await symlink(target, path).catch(async (error: unknown) => {
      // Another process linked it, or links are not allowed (Windows).
      const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!isThere) await copyFile(this.blob(hash), path);
    });
  }

  private refPath(revision: string): string {
    const parts = revision.split('/');
    if (parts.some((part) => !/^[\w.-]+$/.test(part) || part.startsWith('.'))) {
      throw new HubError(`Invalid revision '${revision}': expected a branch, a tag or a commit`);
    }
    return join(this.dir, 'refs', ...parts);
  }
}
