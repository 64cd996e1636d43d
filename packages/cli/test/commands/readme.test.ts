// The programs that the READMEs print: they compile as a careful user's would, and run.
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childEnv } from '@rene-js/testing';
import { expect } from 'chai';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../../../../', import.meta.url));
/** Where the packages are found, and nothing is committed. */
const dir = join(root, 'examples/dist/readme');
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

describe('programs of the READMEs', function () {
  this.timeout(120_000);
  const programs = new Map<string, string>();
  before(async () => {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true });
    for (const [name, path] of [
      ['root', 'README.md'],
      ['rene', 'packages/rene/README.md'],
      ['layers', 'packages/layers/README.md'],
    ] as const) {
      const text = await readFile(join(root, path), 'utf8');
      [...text.matchAll(/```ts\n([\s\S]*?)```/g)].forEach(([, program = ''], i) => {
        // The included model in place of any from the hub.
        programs.set(
          `${name}_${i}`,
          program.replace(/'[\w-]+\/[\w.-]+-(?:pytorch|hf)'/g, "'rene-tiny'"),
        );
      });
    }
    for (const [name, program] of programs) await writeFile(join(dir, `${name}.mts`), program);
    const config = { compilerOptions: COMPILER_OPTIONS, include: ['*.mts'] };
    await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it('compile with checked indices', async () => {
    expect([...programs.keys()]).to.include.members(['root_0', 'root_1', 'rene_0', 'layers_0']);
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const printed = await run(process.execPath, [tsc, '-p', dir]).then(
      ({ stdout }) => stdout,
      (error: { stdout?: string }) => error.stdout ?? String(error),
    );
    expect(printed).to.equal('');
  });

  for (const [name, expected] of [
    ['root_0', /^Rene Descartes was .{20,}\n .{20,}/],
    ['root_1', /^$/],
    ['rene_0', /^ .{20,}/],
  ] as const) {
    it(`run, and print text alone: ${name}`, async () => {
      const options = { env: childEnv() };
      const { stdout } = await run(process.execPath, [join(dir, `${name}.mjs`)], options);
      expect(stdout).to.match(expected).and.not.contain('<|');
    });
  }
});
