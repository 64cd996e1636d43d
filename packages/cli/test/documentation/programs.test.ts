// The TypeScript programs on the pages of the documentation compile with strict options and run with the
// included model.
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { childEnv } from '@rene-js/testing';
import { expect } from 'chai';
import { blocks, pages, root } from './pages.js';

const run = promisify(execFile);
/** A folder that resolves the packages and that git ignores. */
const dir = join(root, 'examples/dist/documentation');
const COMPILER_OPTIONS = {
  target: 'ES2022',
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  types: ['node'],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
};

/** Programs that are compiled but not run here, with the reason. */
const NOT_RUN: readonly [name: RegExp, reason: string][] = [
  [/browser/, 'loads a model from the server of a page; npm run test:browser runs it'],
  [/webgpu_0$/, 'likewise'],
];

/** Expected output of programs. Default: none. */
const PRINTED: readonly [name: RegExp, output: RegExp][] = [
  [/^README_0$/, /^Rene Descartes was .{20,}\n .{20,}/],
  [/^packages_rene_README_0$/, /^ .{20,}/],
  [/^docs_guide_generate_0$/, /^ .{20,}/],
  [/^docs_guide_chat_0$/, /^ .{10,}\n(.|\n)*.{10,}\n4\n$/],
];

describe('programs of the documentation', function () {
  this.timeout(120_000);
  const programs = new Map<string, string>();
  before(async () => {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true });
    for (const page of pages) {
      const name = page.path.replace(/\.md$/, '').replaceAll('/', '_');
      blocks(page, 'ts').forEach((program, i) => {
        // Uses the included model in place of any from the hub.
        const small = program.replace(/'[\w-]+\/[\w.-]+-(?:pytorch|hf)'/g, "'rene-tiny'");
        programs.set(`${name}_${i}`, small);
      });
    }
    for (const [name, program] of programs) await writeFile(join(dir, `${name}.mts`), program);
    const config = { compilerOptions: COMPILER_OPTIONS, include: ['*.mts'] };
    await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it('compile with checked indices', async () => {
    expect([...programs.keys()]).to.include.members(
      PRINTED.map(([{ source }]) => source.slice(1, -1)),
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const printed = await run(process.execPath, [tsc, '-p', dir]).then(
      ({ stdout }) => stdout,
      (error: { stdout?: string }) => error.stdout ?? String(error),
    );
    expect(printed).to.equal('');
  });

  it('leave special tokens out of the text that they print', () => {
    const decoding = [...programs].filter(([, program]) => program.includes('.decode('));
    expect(decoding).not.to.be.empty;
    for (const [name, program] of decoding) {
      expect(program, name).not.to.match(/\.decode\((?!.*skipSpecialTokens: true)/);
    }
  });

  it('run, and print only text', async () => {
    const names = [...programs.keys()].filter((name) => !NOT_RUN.some(([one]) => one.test(name)));
    // In one process, which loads the packages once.
    const all = names.map((name) => `console.log('@@${name}');\nawait import('./${name}.mjs');`);
    await writeFile(join(dir, 'all.mjs'), all.join('\n'));
    const { stdout } = await run(process.execPath, [join(dir, 'all.mjs')], { env: childEnv() });
    const outputs = stdout.split(/^@@|(?<=\S)@@/m).slice(1);
    expect(outputs).to.have.length(names.length);
    for (const output of outputs) {
      const [name = '', ...lines] = output.split('\n');
      const [, expected = /^\s*$/] = PRINTED.find(([one]) => one.test(name)) ?? [];
      expect(lines.join('\n'), name).to.match(expected).and.not.contain('<|');
    }
  });
});
