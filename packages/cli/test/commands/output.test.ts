// Every command on wrong usage, and when its output cannot be written.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv, golden } from '@rene-js/testing';
import { expect } from 'chai';
import { usageLine } from '../../src/commands/usage_line.js';
import { runInProcess } from '../run_in_process.js';

const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

describe('usage errors', () => {
  const cases: [string[], string, string][] = [
    [['nonsense'], "unknown command 'nonsense'", ''],
    [
      ['generate', 'x', '--sede', '1'],
      "unknown option '--sede' (Did you mean --seed?)",
      'generate ',
    ],
    [['bench', '--repeat', 'twice'], '--repeat: expected a whole number, found twice', 'bench '],
    [
      ['generate', 'a', 'lighthouse'],
      'expected at most 1 argument, found 2; put an argument with spaces in quotes',
      'generate ',
    ],
    [['bench', './model'], 'expected options only, found 1 argument', 'bench '],
    [['generate', 'x', '-n'], '--max-new-tokens: expected <n>, found nothing', 'generate '],
    [['convert', 'one'], "missing required argument 'out'", 'convert '],
    [
      ['generate', 'x', '--min-p', '3'],
      '--min-p: expected a number from 0 to 1, found 3',
      'generate ',
    ],
    [['generate', 'x', '--stop', ''], "--stop: expected text, found ''", 'generate '],
    [
      ['train', '--data', 'x', '--out', 'y', '--lora'],
      'expected --model DIR (to fine-tune it) or --config tiny (for a new one), found neither',
      'train ',
    ],
  ];
  for (const [args, message, verb] of cases) {
    it(`are one line in the same format: rene ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await runInProcess(args);
      expect(stderr).to.equal(`error: ${message} (see rene ${verb}--help)\n`);
      expect([code, stdout]).to.deep.equal([2, '']);
    });
  }

  it('describe the expected value in the same words for all options', () => {
    const said = (text: string) => usageLine(`error: option ${text}`, 'serve');
    expect(said("'-p, --port <n>' argument '-7' is invalid. It must be 0 to 65535.")).to.equal(
      'error: --port: expected 0 to 65535, found -7 (see rene serve --help)\n',
    );
    expect(
      said("'--keep <which>' argument '' is invalid. Allowed choices are best, last."),
    ).to.equal("error: --keep: expected one of best, last, found '' (see rene serve --help)\n");
    expect(
      said("'--args <pairs>' argument 'a' is invalid. Expected key=value, found 'a'."),
    ).to.equal("error: --args: expected key=value, found 'a' (see rene serve --help)\n");
  });

  it('stay on one line for any input', () => {
    const text = "error: option '-k <n>' argument 'a\nb' is invalid. Allowed choices are x, y.\n";
    expect(usageLine(text, undefined)).to.equal(
      'error: -k <n>: expected one of x, y, found a b (see rene --help)\n',
    );
  });
});

describe('file system errors', () => {
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-output-'));
    await writeFile(join(dir, 'file'), 'A text.\n');
    await mkdir(join(dir, 'folder'));
  });
  after(() => rm(dir, { recursive: true }));

  const cases: [string[], RegExp][] = [
    [['quantize', 'rene-tiny', 'FILE/x'], /FILE\/x.*expected a folder/],
    [['eval', '--text', 'FOLDER'], /FOLDER: cannot be read: it is a folder, expected a file/],
    [['eval', '--tasks', 'FOLDER/none.jsonl'], /none\.jsonl: cannot be read: no such file/],
    [['info', '--model', 'FOLDER'], /FOLDER\/config\.json: no such file; expected a model folder/],
  ];
  it('an unwritable cache causes a notice', async () => {
    const file = join(dir, 'file');
    const { code, stderr } = await runInProcess(['eval', '--text', file, '--use_cache', file]);
    expect(stderr).to.match(/file\/.*: cannot be .*expected a folder.*; results are not kept/);
    expect(code).to.equal(0);
  });

  for (const [args, message] of cases) {
    it(`name the file and are typed: rene ${args.join(' ')}`, async () => {
      const named = (text: string) =>
        text.replaceAll('FILE', join(dir, 'file')).replaceAll('FOLDER', join(dir, 'folder'));
      const { code, stderr } = await runInProcess(args.map(named));
      expect(stderr).to.match(new RegExp(`^error: .*${named(message.source)}.*\n$`));
      expect(code).to.equal(1);
    });
  }
});

describe('standard output', () => {
  /** Runs a shell command with the arguments as $@. */
  function shell(
    script: string,
    args: readonly string[],
  ): Promise<{ code: number | null; stderr: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn('bash', ['-c', script, 'bash', process.execPath, bin, ...args], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: childEnv(),
      });
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stderr }));
    });
  }

  before(function () {
    if (!existsSync('/dev/full')) this.skip();
  });

  for (const args of [
    ['info', '--json', '--backend', 'cpu'],
    ['generate', 'A river', '-q', '-n', '2', '--backend', 'cpu'],
    ['--version'],
  ]) {
    it(`ends with an error when the disk is full: rene ${args.join(' ')}`, async () => {
      const { code, stderr } = await shell('"$@" > /dev/full', args);
      expect(stderr).to.match(
        /^error: stdout.*: cannot be written: no space left on the device \(ENOSPC\)\n$/,
      );
      expect(code).to.equal(1);
    });
  }

  it('ends with an error when a file takes only part of the text', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rene-output-'));
    const path = join(dir, 'out.json');
    const args = ['info', '--json', '--backend', 'cpu'];
    const { code, stderr } = await shell(`ulimit -f 1; "$@" > '${path}'`, args);
    expect(stderr).to.match(/^error: stdout.*out\.json\): cannot be written: .* \(EFBIG\)\n$/);
    expect(code).to.equal(1);
    expect((await readFile(path)).length).to.be.within(512, 1024);
    await rm(dir, { recursive: true });
  });

  it('does not need standard error', async () => {
    const { code } = await shell('"$@" 2> /dev/full', ['generate', 'A river', '-n', '2']);
    expect(code).to.equal(0);
  });

  /** A command whose reader closes the pipe before anything is written. */
  function withoutReader(
    args: readonly string[],
  ): Promise<{ code: number | null; stderr: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [bin, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: childEnv(),
      });
      child.stdout.destroy();
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stderr }));
    });
  }

  it('ends silently when its reader has closed the pipe', async () => {
    const bench = ['bench', '--random-weights', 'tiny', '--prompt', '2', '--tokens', '1'];
    const commands = [
      ['verify', golden('tiny-mamba2'), '--json', '--backend', 'cpu'],
      ['info', '--backend', 'cpu'],
      [...bench, '--repeat', '1', '--dtype', 'f32', '--backend', 'cpu'],
      ['eval', '--tasks', 'list'],
      ['generate', '--help'],
    ];
    const ends = await Promise.all(commands.map(withoutReader));
    for (const [i, { code, stderr }] of ends.entries()) {
      expect(stderr, commands[i]?.[0]).not.to.match(/EPIPE|rror/);
      expect(code, commands[i]?.[0]).to.equal(0);
    }
  });

  it('keeps the exit code of a failed check after its reader has closed the pipe', async () => {
    const args = ['verify', golden('tiny-mamba2'), '--backend', 'simd', '--dtype', 'int4'];
    const { code, stderr } = await withoutReader(args);
    expect([code, stderr]).to.deep.equal([1, '']);
  });
});
