// Creating folders, or failing with an error instead of hanging.
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { makeFolder } from '../../src/checkpoint/make_folder.js';
import { writeFolder } from '../../src/checkpoint/write_folder.js';
import { FileError } from '../../src/errors.js';

describe('makeFolder', () => {
  const folder = temporaryFolders();

  it('creates all missing folders, and returns the first one', () => {
    const dir = folder();
    expect(makeFolder(join(dir, 'a', 'b', 'c'))).to.equal(join(dir, 'a'));
    expect(makeFolder(join(dir, 'a', 'b', 'd'))).to.equal(join(dir, 'a', 'b', 'd'));
    expect(makeFolder(join(dir, 'a', 'b'))).to.equal(undefined);
    symlinkSync(join(dir, 'a'), join(dir, 'link'));
    expect(makeFolder(join(dir, 'link', 'e'))).to.equal(join(dir, 'link', 'e'));
    expect(existsSync(join(dir, 'a', 'e'))).to.equal(true);
  });

  it('fails with the reason if a file is in the way', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'file'), '');
    symlinkSync(join(dir, 'nowhere'), join(dir, 'dangling'));
    for (const [path, code] of [
      [join(dir, 'file'), 'EEXIST'],
      [join(dir, 'file', 'x'), 'ENOTDIR'],
      [join(dir, 'dangling'), 'EEXIST'],
    ] as const) {
      expect(await errorOf(Error, () => makeFolder(path))).to.include({ code });
    }
  });

  // Node's own recursive mkdir never ends here.
  it('fails if the file system reports an existing parent as missing', async function () {
    if (!existsSync('/proc/self')) return this.skip();
    for (const path of ['/proc/rene-test', '/proc/rene-test/inner']) {
      const error = await errorOf(FileError, () => writeFolder(path, []));
      expect(error.message).to.match(new RegExp(`^${path}: cannot be written: .*\\(E[A-Z]+\\)$`));
    }
  });
});
