// Runs every shell command on the pages of the documentation with the included model. Checks only the options
// of commands that need a network, a GPU or hours.
import { execFile, fork, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childEnv, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { Command } from 'commander';
import { verbs } from '../../src/verbs.js';
import { inlineCode, pages, reneArguments, root, shellCommands } from './pages.js';
import type { Result } from './run_commands.js';

/** `rene` commands that do not run here, with the reason. Only their options are checked. */
const NOT_RUN: readonly [command: RegExp, reason: string][] = [
  [
    /^download /,
    'needs the hub; test/commands/download.test.ts runs it against a hub on this machine',
  ],
  [/^eval --tasks/, 'needs documents of the hub; test/commands/eval.test.ts runs it with files'],
  [/^chat /, 'reads lines, with a model of the hub; test/chat/chat_loop.test.ts runs it'],
  [/^serve /, 'does not end; the test below runs one with the requests that the pages show'],
  [/^serve$/, 'does not end'],
  [/^worker /, 'does not end; test/scale_out/commands.test.ts runs one'],
  [/--queue /, 'needs Redis and workers; test/scale_out/commands.test.ts runs it'],
  [/oewn-train/, 'is how rene-tiny was trained, for hours'],
  [/--backend webgpu/, 'needs a GPU and the package webgpu; npm run test:webgpu runs it'],
  [/--backend tensorflow/, 'needs @tensorflow/tfjs-node; npm run test:tensorflow runs it'],
];

/** Options that make a command short. */
const SHORTER: readonly [command: RegExp, options: readonly string[]][] = [
  [/^train /, '--steps 1 --batch-size 1 --row-length 16 --held-out 0.2'.split(' ')],
  [/^train .*--config tiny/, ['--vocab-size', '300']],
  [/^bench /, '--random-weights tiny --prompt 8 --tokens 2 --repeat 1 --dtype int8'.split(' ')],
  [/^generate (?!.*max-new-tokens)/, ['--max-new-tokens', '4']],
  [/^eval --text/, ['--context', '1']],
];

/** Programs that the pages call but that are not part of this repository. */
const FOREIGN =
  /^(apt-get|npm create|npx create-next-app\S*|pip|lm_eval|OPENAI_API_KEY=none lm_eval) /;

const run = promisify(execFile);
const reneCommands = shellCommands.flatMap(({ page, line }) => {
  const args = reneArguments(line.replace(/^.*\| /, ''));
  return args ? [{ page, line, args, text: args.join(' ') }] : [];
});
const runnable = reneCommands.filter(
  ({ line, text }) => !line.includes('|') && !NOT_RUN.some(([command]) => command.test(text)),
);

describe('shell commands of the documentation', function () {
  this.timeout(300_000);
  const folder = temporaryFolders();
  let dir: string;
  before(() => {
    dir = folder();
    cpSync(join(root, 'packages/rene/models/rene-tiny'), join(dir, 'my-model'), {
      recursive: true,
    });
    symlinkSync(join(root, 'goldens'), join(dir, 'goldens'));
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
    mkdirSync(join(dir, 'dist'));
    const text = Array.from({ length: 40 }, (_, i) => `A house of ${i} rooms is large.`).join('\n');
    for (const name of ['texts.txt', 'text.txt', 'more.txt']) writeFileSync(join(dir, name), text);
    const request = {
      custom_id: '1',
      method: 'POST',
      url: '/v1/completions',
      body: { prompt: 'A' },
    };
    writeFileSync(join(dir, 'requests.jsonl'), JSON.stringify(request));
    writeFileSync(join(dir, 'README.md'), 'A lake is a body of water.\n');
  });

  it('include every subcommand', () => {
    const shown = new Set(reneCommands.map(({ args: [verb = ''] }) => verb));
    expect([...shown]).to.include.members(Object.keys(verbs));
  });

  it('`rene` commands have valid options and the required arguments', async () => {
    for (const { page, line, args } of reneCommands) {
      const [name = '', ...rest] = args;
      if (name.startsWith('-')) continue;
      const verb = verbs[name];
      if (!verb) throw new Error(`${page}: ${line}: no such subcommand`);
      const program = new Command();
      await verb.add(program);
      const command = program.commands.find((other) => other.name() === name);
      if (!command) throw new Error(`${name} is not added`);
      const silent = { writeErr: () => {} };
      command.exitOverride().configureOutput(silent);
      const { operands, unknown } = command.parseOptions(rest);
      expect(unknown, `${page}: ${line}`).to.deep.equal([]);
      const needed = command.registeredArguments.filter(({ required }) => required).length;
      expect(operands.length, `${page}: ${line}`).to.be.within(
        needed,
        command.registeredArguments.at(-1)?.variadic ? 99 : command.registeredArguments.length,
      );
    }
  });

  it('`rene` commands run with the included model', async () => {
    // Training first: other commands use its adapters and models.
    const first = ({ text }: { text: string }) => (/^train/.test(text) ? 0 : 1);
    const unique = new Map(runnable.map((command) => [command.text, command]));
    const ordered = [...unique.values()].sort((a, b) => first(a) - first(b));
    const commands = ordered.map(({ args, text }) => {
      const more = SHORTER.flatMap(([command, options]) => (command.test(text) ? options : []));
      const force = /^(convert|quantize) /.test(text) ? ['--force'] : [];
      return [...args, ...more, ...force];
    });
    for (const { args, code, stdout, stderr } of await runTogether(commands, dir)) {
      const shown = `rene ${args.join(' ')}\n${stderr}`;
      expect(code, shown).to.equal(0);
      if (args[0] !== 'train') expect(stdout, shown).to.not.equal('');
    }
    expect(readdirSync(join(dir, 'my-model-int8'))).to.include('model.safetensors');
    expect(readdirSync(join(dir, 'my-adapter'))).to.include('adapter_model.safetensors');
  });

  it('pipes and copies run in a shell', async () => {
    const lines = shellCommands.map(({ line }) => line);
    const inShell = lines.filter((line) => /^(echo|cp|mkdir) /.test(line));
    expect(inShell).to.have.length(6);
    const bin = join(root, 'node_modules/.bin');
    const env = { ...childEnv(), PATH: `${bin}:${process.env.PATH}` };
    for (const line of inShell) {
      const script = line.replace('npm run --silent rene --', 'rene');
      const { stdout } = await run('bash', ['-c', script], { cwd: dir, env });
      if (line.startsWith('echo')) expect(stdout).to.match(/^A glacier is .+\n$/);
    }
    const copied = readdirSync(join(dir, 'dist'));
    expect(copied).to.include.members(['kernels.wasm', 'worker_browser.js']);
  });

  it('a server answers the requests on the pages', async function () {
    const requests = shellCommands.filter(({ line }) => line.startsWith('curl '));
    expect(requests).to.have.length.above(1);
    await run('curl', ['--version']).catch(() => this.skip());
    const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));
    const server = spawn(process.execPath, [bin, 'serve', '--port', '0'], { env: childEnv() });
    try {
      const address = await new Promise<string>((resolve, reject) => {
        let text = '';
        const listen = (chunk: Buffer) => {
          text += chunk.toString();
          const [, found] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(text) ?? [];
          if (found !== undefined) resolve(found);
        };
        server.stdout.on('data', listen);
        server.stderr.on('data', listen);
        server.on('exit', () => reject(new Error(text)));
      });
      for (const { page, line } of requests) {
        const script = line.replace('http://127.0.0.1:8000', address);
        const { stdout } = await run('bash', ['-c', script]);
        expect(stdout, page).to.match(/"text":"[^"]/);
      }
    } finally {
      server.kill('SIGINT');
    }
  });

  it('npm scripts, test names, packages and files exist', () => {
    const { scripts } = readJson('package.json');
    const workspaces = readdirSync(join(root, 'packages')).map((name) =>
      readJson(`packages/${name}/package.json`),
    );
    const known = new Set(
      workspaces.flatMap(({ name, dependencies, peerDependencies }) => [
        name,
        ...Object.keys({ ...dependencies, ...peerDependencies }),
      ]),
    );
    const tests = readdirSync(join(root, 'packages'), { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.endsWith('.test.ts') && !path.includes('node_modules'),
    );
    const inline = pages.flatMap((page) =>
      inlineCode(page).map((line) => ({ page: page.path, line })),
    );
    for (const { page, line } of [...shellCommands, ...inline]) {
      const where = `${page}: ${line}`;
      for (const command of line.split(' && ')) {
        const [, script, folder] =
          /^(?:\w+=\S+ )?npm run (?:--silent )?([\w:]+)(?: --prefix (\S+))?/.exec(command) ?? [];
        const offered = folder === undefined ? scripts : readJson(`${folder}/package.json`).scripts;
        if (script !== undefined) expect(offered, where).to.have.property(script);
        const [, patterns] = /^(?:\w+=\S+ )?npm test -- (.*)/.exec(command) ?? [];
        for (const pattern of patterns?.split(' ') ?? []) {
          const source = pattern.replace(/^packages\/(.*)\/dist\/(.*)\.js$/, '$1/$2.ts');
          const matches = tests.some((path) => path.includes(source)) || pattern === 'FILE';
          expect(matches, `${where}: no test file has ${pattern} in its path`).to.equal(true);
        }
        const [, packages] = /^npm install (@[^#]*)/.exec(command) ?? [];
        for (const name of packages?.trim().split(/\s+/) ?? [])
          expect(known, where).to.include(name);
        const [, file] =
          /^(?:node|bash) ((?:benchmarks|examples|scripts|\.ci)\/\S+)/.exec(command) ?? [];
        if (file !== undefined) {
          const source = file.replace(/\/dist\/(.*)\.js$/, '/$1.ts').replace(/\.js$/, '.js');
          expect(existsSync(join(root, source)), where).to.equal(true);
        }
      }
    }
  });

  it('there are no other commands', () => {
    const others = shellCommands.filter(
      ({ line }) =>
        reneArguments(line) === undefined &&
        !FOREIGN.test(line) &&
        !/^(\w+=\S+ )?npm (ci|test|run|install)\b/.test(line) &&
        !/^(echo|cp|mkdir|curl|node|bash) /.test(line),
    );
    expect(others).to.deep.equal([]);
  });

  it('options in the text exist', async () => {
    const options = new Set<string>(['--help', '--version', '--verbose']);
    for (const [name, { add }] of Object.entries(verbs)) {
      const program = new Command();
      await add(program);
      for (const { long } of program.commands.find((c) => c.name() === name)?.options ?? []) {
        if (long) options.add(long);
      }
    }
    const foreign =
      /^(esbuild|npm|node|deno|bun|\w+\.js) |^--(python|check|sanitize|prefix|publish|grep)/;
    for (const page of pages.filter(({ path }) => !path.endsWith('performance-log.md'))) {
      for (const code of inlineCode(page)) {
        if (foreign.test(code)) continue;
        for (const [option] of code.matchAll(/(?<![\w-])--[a-z][\w-]*/g)) {
          expect([...options], `${page.path}: ${code}`).to.include(option);
        }
      }
    }
  });

  it('source files in the text exist', () => {
    const ignored = /(^|\/)(node_modules|dist|thing)(\/|\.)/;
    const files = ['packages', 'examples', 'benchmarks', 'scripts']
      .flatMap((folder) =>
        readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(
          (path) => `${folder}/${path}`,
        ),
      )
      .filter((path) => !ignored.test(path));
    for (const page of pages) {
      for (const code of inlineCode(page)) {
        const isSource = /^[\w./]+\.(ts|cu|mjs)$/.test(code) && !ignored.test(code);
        if (!isSource || page.path.endsWith('performance-log.md')) continue;
        const found = files.some((path) => `/${path}`.endsWith(`/${code}`));
        expect(found, `${page.path}: ${code}`).to.equal(true);
      }
    }
  });

  it('links lead to files', () => {
    for (const { path, text } of pages) {
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)) {
        expect(existsSync(join(root, path, '..', target)), `${path}: ${target}`).to.equal(true);
      }
    }
  });
});

/** Runs `rene` commands one after the other in one process. */
function runTogether(commands: string[][], cwd: string): Promise<Result[]> {
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('./run_commands.js', import.meta.url));
    const child = fork(script, { cwd, env: childEnv(), silent: true });
    const results: Result[] = [];
    child.on('message', (result: Result) => results.push(result));
    child.on('error', reject);
    child.on('exit', () => {
      if (results.length === commands.length) resolve(results);
      else reject(new Error(`rene ${commands[results.length]?.join(' ')} ended the process`));
    });
    child.send(commands);
  });
}

interface PackageJson {
  readonly name: string;
  readonly scripts: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

function readJson(path: string): PackageJson {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}
