// The bundle that bin/rene.js starts.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const folder = new URL('../bundle/', import.meta.url);
const staticImport = /^(?:import|export)\b[^;'"]*["']([^"']+)["'];/gm;

/** What a script imports before it runs, and what these scripts import. */
function imports(file: string, found = new Set<string>()): Set<string> {
  const text = readFileSync(new URL(file, folder), 'utf8');
  for (const [, path = ''] of text.matchAll(staticImport)) {
    if (found.has(path)) continue;
    found.add(path);
    if (path.startsWith('./')) imports(path, found);
  }
  return found;
}

describe('the bundle of the command', () => {
  // Listed when the tests run: mocha rebuilds an old bundle after it has loaded the test files.
  let files: string[] = [];
  before(() => {
    files = readdirSync(fileURLToPath(folder)).filter((name) => name.endsWith('.js'));
  });

  it('starts, and prints help, without tfjs', () => {
    const start = imports('main.js');
    expect(start).to.include('commander');
    expect([...start].filter((path) => path.startsWith('@'))).to.deep.equal([]);
  });

  it('loads the code of a command in few files', () => {
    const generate = files.find((name) => /^generate-\w+\.js$/.test(name)) ?? '';
    const loaded = imports(generate);
    expect(loaded).to.include('@tensorflow/tfjs-core');
    expect(loaded.size).to.be.below(100);
  });

  it('contains our own packages, and each thread has its script', () => {
    for (const file of files) {
      expect([...imports(file)].filter((path) => path.startsWith('@rene-js/'))).to.deep.equal([]);
    }
    expect(files).to.include.members(['model_worker.js', 'tokenizer_worker.js']);
  });
});
