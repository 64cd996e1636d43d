import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv } from '@rene-js/testing';
import { expect } from 'chai';

const examples = fileURLToPath(new URL('../../../../../examples/', import.meta.url));

/** Runs an example. `onOutput` is called with stdout so far, and can stop it like Ctrl-C. */
function runExample(
  file: string,
  args: readonly string[] = [],
  onOutput?: (stdout: string, interrupt: () => void) => void,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(examples, file), ...args], {
      env: childEnv(),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput?.(stdout, () => child.kill('SIGINT'));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('examples', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-examples-'));
  });
  after(() => rm(dir, { recursive: true }));

  async function output(file: string, args?: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runExample(file, args);
    expect(code, stderr).to.equal(0);
    return stdout;
  }

  it('generate: continues a text', async () => {
    const stdout = await output('dist/generate.js', ['A lake is']);
    expect(stdout).to.match(/^A lake is.{5,}[\s\S]*\(ended by (eos|length)\)\n$/);
  });

  it('stream: prints text as it is generated', async () => {
    expect(await output('dist/stream.js', ['A lake is'])).to.match(/^A lake is.+\n$/);
  });

  it('predict: is a tfjs model, whose probabilities it prints', async () => {
    const stdout = await output('dist/predict.js');
    expect(stdout.match(/^ *[\d.]+ % {2}/gm)).to.have.length(5);
    expect(stdout)
      .to.contain("name: 'input_ids'")
      .and.to.match(/\n0 tensors left\n$/);
  });

  it("resume_state: continues in another process from the first one's state", async () => {
    const path = join(dir, 'story.state');
    const saved = await output('dist/resume_state.js', [path, 'It was a dark night.']);
    expect(saved).to.match(/the state after \d+ tokens/);
    expect(await output('dist/resume_state.js', [path])).to.match(/^\.\.\. The.+\n\.\.\. A.+\n$/);
  });

  it('batch: prints a line of JSON for each prompt, in order', async () => {
    const path = join(dir, 'prompts.txt');
    const prompts = Array.from({ length: 18 }, (_, i) => `A ${'very '.repeat(i % 5)}old house is`);
    await writeFile(path, `${prompts.join('\n')}\n`);
    const lines = (await output('dist/batch.js', [path])).trim().split('\n');
    const found = lines.map((line): { prompt: string; continuation: string } => JSON.parse(line));
    expect(found.map(({ prompt }) => prompt)).to.deep.equal(prompts);
    expect(found[17]?.continuation).to.equal(found[2]?.continuation).and.not.equal('');
  });

  it('fine_tune_lora: learns sentences of another kind', async () => {
    const stdout = await output('dist/fine_tune_lora.js');
    const bits = [...stdout.matchAll(/^step \d+: ([\d.]+) bits a byte$/gm)].map(([, b]) =>
      Number(b),
    );
    expect(bits).to.have.length(3);
    expect(bits[2]).to.be.below(bits[0] ?? 0);
    expect(stdout).to.match(/A wolf is .* in the evening\./);
  });

  it('sequential: trains a layer in tf.sequential', async () => {
    const stdout = await output('dist/sequential.js');
    const losses = [...stdout.matchAll(/^epoch \d: loss ([\d.]+)$/gm)].map(([, loss]) =>
      Number(loss),
    );
    expect(losses).to.have.length(4);
    expect(losses[0]).to.be.above(1);
    expect(losses[3]).to.be.below(0.2);
  });

  it('commonjs: works from a CommonJS file', async () => {
    expect(await output('commonjs.cjs')).to.match(/\w{3}.*\n$/);
  });

  it('http_server: streams an answer, reports errors, ends on Ctrl-C', async () => {
    let answers: Promise<void> | undefined;
    const { code, stderr } = await runExample('dist/http_server.js', ['0'], (stdout, interrupt) => {
      const [url] = /http:\S+/.exec(stdout) ?? [];
      if (url === undefined || answers) return;
      const post = async (body: string) => {
        const response = await fetch(url, {
          method: 'POST',
          body,
          headers: { connection: 'close' },
        });
        return { status: response.status, text: await response.text() };
      };
      answers = (async () => {
        const [good, empty] = await Promise.all([post('A glacier is'), post('')]);
        expect(good.status).to.equal(200);
        expect(good.text.length).to.be.greaterThan(10);
        expect(empty).to.deep.equal({
          status: 400,
          text: "prompt: expected some text, found ''\n",
        });
      })().finally(interrupt);
    });
    await answers;
    expect(code, stderr).to.equal(0);
  });
});
