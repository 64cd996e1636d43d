// `rene eval` as a process: from a file of documents to results on disk, and model selection.
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRene } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

/** Made-up documents in COPA's format. */
const documents = [
  ['The glass broke.', 'cause', 'It fell on the floor.', 'It was full of milk.', 0],
  ['It rained all night.', 'effect', 'The sun was hot.', 'The street was wet.', 1],
  ['The child laughed.', 'cause', 'The book was closed.', 'The dog ran in a circle.', 1],
].map(([premise, question, choice1, choice2, label], idx) => {
  return { premise, question, choice1, choice2, label, idx };
});

describe('rene eval', () => {
  let dir: string;
  let docs: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-eval-'));
    docs = join(dir, 'copa.jsonl');
    await writeFile(docs, documents.map((doc) => `${JSON.stringify(doc)}\n`).join(''));
  });
  after(() => rm(dir, { recursive: true }));

  it('evaluates the included model: tables on stdout; results, samples and a chart on disk', async () => {
    const out = join(dir, 'results');
    const { code, stdout, stderr } = await runRene(
      ['eval', '--tasks', 'copa', '--docs', docs, '--output_path', out, '--log_samples'],
      { env: { XDG_CACHE_HOME: join(dir, 'cache') } },
    );
    expect(stderr).not.to.match(/error/);
    expect(code).to.equal(0);
    const [head, header, rule, row] = stdout.split('\n');
    expect(head).to.equal(
      'rene_ssm (pretrained=rene-tiny), gen_kwargs: (None), limit: None, num_fewshot: None, batch_size: auto',
    );
    expect(header).to.equal('|Tasks|Version|Filter|n-shot|Metric|   |Value |   |Stderr|');
    expect(rule).to.equal('|-----|------:|------|-----:|------|---|-----:|---|-----:|');
    expect(row).to.match(
      /^\|copa \| {6}1\|none {2}\| {5}0\|acc {3}\|↑ {2}\|0\.\d{4}\|± {2}\|0\.\d{4}\|$/,
    );
    // Custom documents are not compared with other models.
    expect(stdout).to.match(/\| \*\*rene-tiny \(measured on documents of --docs\)\*\* +\|/);
    expect(stdout).not.to.include('OLMo');
    const files = await readdir(out, { recursive: true });
    const named = (pattern: RegExp) => files.find((name) => pattern.test(name)) ?? '';
    const results = JSON.parse(await readFile(join(out, named(/results_.*\.json$/)), 'utf8'));
    const accuracy: number = results.results.copa['acc,none'];
    expect([0, 1, 2, 3].map((right) => right / 3)).to.include(accuracy);
    const samples = await readFile(join(out, named(/samples_copa_.*\.jsonl$/)), 'utf8');
    const right = samples
      .trim()
      .split('\n')
      .map((line): number => JSON.parse(line).acc);
    expect(right.reduce((sum, acc) => sum + acc, 0) / 3).to.equal(accuracy);
    expect(named(/\.svg$/)).not.to.equal('');
  });

  it('requests the revision in --model_args from the hub', async () => {
    const asked: string[] = [];
    const hub = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const address = hub.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const env = {
      HF_ENDPOINT: `http://127.0.0.1:${port}`,
      HF_HUB_CACHE: join(dir, 'hub'),
      HF_HUB_OFFLINE: '',
    };
    const args = ['--model_args', 'pretrained=someone/something,revision=v2'];
    const { code, stderr } = await runInProcess(
      ['eval', '--model', 'rene_ssm', ...args, '--tasks', 'copa', '--docs', docs],
      { env },
    );
    hub.close();
    expect(asked).to.deep.equal(['/api/models/someone/something/revision/v2']);
    expect(stderr).to.match(/^error: .*someone\/something/);
    expect(code).to.equal(1);
  });

  it('reports before the evaluation that results cannot be written', async () => {
    const inTheWay = join(dir, 'in-the-way');
    await writeFile(inTheWay, '');
    for (const path of [inTheWay, join(inTheWay, 'results')]) {
      const given = ['--docs', docs, '--output_path', path, '--use_cache', join(dir, 'no-cache')];
      const { code, stdout, stderr } = await runRene(['eval', '-t', 'copa', ...given]);
      expect([code, stdout]).to.deep.equal([1, '']);
      expect(stderr).to.match(/^error: .*in-the-way.*: cannot be written: .*\n$/);
    }
  });

  it('refuses unknown tasks as wrong usage, in one line', async () => {
    for (const tasks of ['boolq', 'copa,hellaswagg', 'mmlu_astrology', 'gsm*']) {
      const { code, stdout, stderr } = await runRene(['eval', '-t', tasks]);
      expect([code, stdout], tasks).to.deep.equal([2, '']);
      expect(stderr).to.match(
        /^error: --tasks: unknown task '\S+'; .* \(see rene eval --help\)\n$/,
      );
    }
  });

  it("selects the few-shot examples by lm-eval's seed", async () => {
    const examples = join(dir, 'examples.jsonl');
    const sentences = Array.from({ length: 20 }, (_, i) => ({
      ...documents[0],
      premise: `N${i}.`,
    }));
    await writeFile(examples, sentences.map((doc) => `${JSON.stringify(doc)}\n`).join(''));
    const drawn = async (...more: string[]) => {
      const files = ['--docs', docs, '--fewshot_docs', examples, '--requests', '-f', '3'];
      const { stdout } = await runInProcess(['eval', '-t', 'copa', ...files, ...more]);
      return stdout
        .trim()
        .split('\n')
        .map((line) =>
          [...String(JSON.parse(line).ctx).matchAll(/N(\d+)/g)].map(([, n]) => Number(n)),
        );
    };
    // The evaluated document may be among the examples, so the harness draws one more:
    // r = random.Random(1234); [r.sample(range(20), 4)[:3] for _ in range(3)]
    expect(await drawn()).to.deep.equal([
      [14, 3, 0],
      [18, 1, 2],
      [11, 7, 0],
    ]);
    expect(await drawn('--seed', '0,0,0,7')).to.deep.equal([
      [10, 4, 12],
      [2, 17, 3],
      [18, 1, 16],
    ]);
  });

  it('takes tasks with blanks between them, and refuses what is not available', async () => {
    const usage = async (...args: string[]) => {
      const { code, stderr } = await runInProcess(['eval', '--tasks', 'copa', ...args]);
      expect(code).to.equal(2);
      return stderr;
    };
    expect(await usage('piqa', '--docs', 'x.jsonl')).to.match(/--docs: .*one task .*found 2/);
    expect(await usage('--wandb_args', 'a=b')).to.match(/--wandb_args: not available here/);
  });

  it('lists what there is', async () => {
    const { code, stdout } = await runInProcess(['eval', '--tasks', 'list']);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^\|\s*Group\s*\|\s*Members\s*\|\n/);
    expect(stdout).to.match(/\|copa +\|aps\/super_glue copa +\|validation *\|train +\|/);
    expect(stdout).to.match(/\|mmlu_virology /);
    expect(stdout).to.match(/\|ai2_arc\|arc_easy, arc_challenge\|/);
    const groups = await runInProcess(['eval', '-t', 'list_groups']);
    expect(
      groups.stdout
        .split('\n')
        .slice(2, 7)
        .map((line) => line.split('|')[1]?.trim()),
    ).to.deep.equal(['mmlu_stem', 'mmlu_other', 'mmlu_social_sciences', 'mmlu_humanities', 'mmlu']);
  });

  it('accepts tasks and model_args separated by spaces, and prints where the model runs', async () => {
    const args = ['-a', 'pretrained=rene-tiny', 'dtype=f32', '--device', 'cuda:0', '-L', '1'];
    const data = join(dir, 'data');
    await mkdir(data, { recursive: true });
    await copyFile(docs, join(data, 'copa.jsonl'));
    await writeFile(join(data, 'piqa.csv'), 'goal,sol1,sol2,label\nEat,fish,stone,0\nSit,a,b,1\n');
    const where = ['--backend', 'simd', '--data_dir', data];
    const { code, stdout, stderr } = await runInProcess(
      ['eval', '-t', 'piqa', 'copa', ...args, ...where],
      { env: { XDG_CACHE_HOME: join(dir, 'cache') } },
    );
    expect(stderr).to.equal(
      "--device cuda:0: the model runs on the backend 'simd' (CPU); --backend chooses another\n",
    );
    expect(code).to.equal(0);
    expect(stdout).to.match(/^rene_ssm \(pretrained=rene-tiny,dtype=f32\), .* limit: 1, /);
    expect(stdout).to.match(/\n\|copa .*\n\|piqa .*\n/);
    expect(stdout).to.include('(measured on part of the documents)');
  });

  it('refuses unsupported options in one line', async () => {
    const cases: [string[], string][] = [
      [
        ['-t', 'copa', '-a', 'pretrained=x,dtyp=int8'],
        "--model_args: unknown key 'dtyp' for rene_ssm",
      ],
      [['-t', 'copa', 'rene-tiny', 'other'], 'expected one model, found rene-tiny and other'],
      [['-t', 'my.yaml'], '--tasks: expected task names or FILE.jsonl, found my.yaml'],
      [['-t', 'copa', '-s'], '--log_samples: expected --output_path DIR with it'],
      [['-t', 'copa', '--fewshot_docs', docs], '--fewshot_docs: expected --docs with it'],
      [
        ['-t', 'copa', '--docs', docs, '--data_dir', dir],
        'expected --docs or --data_dir, found both',
      ],
      [['-t', 'copa', '-E', '{"piqa": [0]}'], '--samples: expected tasks of --tasks, found piqa'],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runInProcess(['eval', ...args]);
      expect(stderr).to.match(/^error: .*\(see rene eval --help\)\n$/);
      expect(stderr).to.include(message);
      expect([code, stdout]).to.deep.equal([2, '']);
    }
  });
});
