import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { expect } from 'chai';
import { copyFileAtomically, writeFileAtomically } from '../src/checkpoint/node_files.js';
import { FileError } from '../src/errors.js';
import { fileError } from '../src/file_errors.js';
import { systemReason } from '../src/system_errors.js';

const text = (content: string) => (put: (bytes: Uint8Array) => Promise<void>) =>
  put(new TextEncoder().encode(content));

describe('a file that is written whole', () => {
  it('leaves nothing behind when the program ends half-way', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rene-file-errors-'));
    const url = new URL('../src/checkpoint/node_files.js', import.meta.url);
    const script = `
      import { readdirSync } from 'node:fs';
      import { writeFileAtomically } from ${JSON.stringify(url)};
      await writeFileAtomically(process.argv[1] + '/file', async (put) => {
        await put(new Uint8Array(10));
        console.log(readdirSync(process.argv[1]).length);
        process.exit(3);
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir]);
    const [printed, code] = await Promise.all([
      readAll(child.stdout),
      new Promise((resolve) => child.once('close', resolve)),
    ]);
    expect([printed, code]).to.deep.equal(['1\n', 3]);
    expect(await readdir(dir)).to.deep.equal([]);
    await rm(dir, { recursive: true });
  });
});

describe('errors of the file system', () => {
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-file-errors-'));
    await writeFile(join(dir, 'file'), 'old');
    await mkdir(join(dir, 'folder', 'within'), { recursive: true });
  });
  after(() => rm(dir, { recursive: true }));

  async function failure(run: Promise<unknown>): Promise<FileError> {
    try {
      await run;
    } catch (error) {
      if (error instanceof FileError) return error;
      throw error;
    }
    throw new Error('it did not fail');
  }

  const cases: [string, string, string, RegExp][] = [
    ['a file where a folder should be', 'file/new', 'EEXIST', /a file of this name is in the way/],
    ['... further up', 'file/a/b/new', 'ENOTDIR', /a part of the path is a file/],
    ['a folder where the file should be', 'folder', 'EISDIR', /it is a folder, expected a file/],
    ['a name that is too long', 'x'.repeat(300), 'ENAMETOOLONG', /the name is too long/],
  ];
  for (const [what, name, code, reason] of cases) {
    it(`names the file that cannot be written: ${what}`, async () => {
      const path = join(dir, name);
      const error = await failure(writeFileAtomically(path, text('new')));
      expect(error).to.include({ path, code });
      expect(error.message).to.match(reason);
      expect(error.message.startsWith(`${path}: cannot be written: `)).to.equal(true);
      expect(error.message).to.not.contain('.tmp');
      expect((await readdir(dir)).sort()).to.deep.equal(['file', 'folder']);
      expect(await readFile(join(dir, 'file'), 'utf8')).to.equal('old');
    });
  }

  it('names the file that cannot be copied, and writes nothing', async () => {
    const from = join(dir, 'none');
    const error = await failure(copyFileAtomically(from, join(dir, 'copy')));
    expect(error.message).to.equal(`${from}: cannot be read: no such file or folder (ENOENT)`);
    expect(await readdir(dir)).not.to.contain('copy');
  });

  it('reports a full disk, and does not change other errors', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    const path = join(dir, 'file');
    const error = await failure(writeFileAtomically(path, () => Promise.reject(full)));
    expect(error.message).to.equal(
      `${path}: cannot be written: no space left on the device (ENOSPC)`,
    );
    expect(error.cause).to.equal(full);
    expect(await readFile(path, 'utf8')).to.equal('old');
    const other = new RangeError('no');
    expect(fileError(path, 'written', other)).to.equal(other);
    expect(systemReason(other)).to.equal('no');
  });
});
