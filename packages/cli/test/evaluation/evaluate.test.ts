// Runs of an evaluation: limits, progress, interruption and resumption, custom tasks, errors with locations.
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { evaluationChart } from '../../src/evaluation/chart.js';
import { readCustomTask, withCustomTasks } from '../../src/evaluation/custom_task.js';
import { folderDocs } from '../../src/evaluation/data/documents.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { evaluate, loadTask } from '../../src/evaluation/evaluate.js';
import type { EvaluationModel, ScoreOptions } from '../../src/evaluation/evaluation_model.js';
import { writeEvaluation } from '../../src/evaluation/output_files.js';
import { cardTable } from '../../src/evaluation/report.js';
import type { TokenRequest } from '../../src/evaluation/requests.js';
import { ResultCache } from '../../src/evaluation/result_cache.js';
import type { Task } from '../../src/evaluation/task.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

const folder = temporaryFolders();

/** Code points as tokens. Prefers texts with more letters e. Can stop after a number of results. */
class LetterModel implements EvaluationModel {
  readonly maxLength = 1000;
  readonly prefixTokenId = 0;
  asked = 0;

  constructor(private readonly stopAfter = Number.POSITIVE_INFINITY) {}

  tokenize(text: string): number[] {
    return [...text].map((c) => c.codePointAt(0) ?? 0);
  }

  async loglikelihoods(requests: readonly TokenRequest[], { onResult, onProgress }: ScoreOptions) {
    return requests.map(({ continuationIds }, i) => {
      if (this.asked === this.stopAfter) throw new Error('stopped');
      this.asked++;
      const count = continuationIds.filter((id) => id === 101).length;
      const result = { loglikelihood: count - 10 / 3, isGreedy: count > 1 };
      onResult?.(i, result);
      onProgress?.((i + 1) / requests.length);
      return result;
    });
  }
}

async function ownTask(docs: unknown[], header = {}) {
  const path = join(folder(), 'own.json');
  writeFileSync(path, JSON.stringify({ ...header, docs }));
  return readCustomTask(path);
}

const NOWHERE = { load: async () => ({ docs: [], fewshotDocs: [] }) };

const DOCS = Array.from({ length: 8 }, (_, i) => ({
  question: `Which word of ${i} has an e?`,
  choices: ['been', 'so', 'no'],
  answer: i % 2,
}));

describe('evaluate', () => {
  it('evaluates a custom task and counts its requests', async () => {
    const own = await ownTask(DOCS, { name: 'letters', metrics: ['acc'] });
    const selection = selectTasks(['letters'], [own.task]);
    const shares: number[] = [];
    const evaluation = await evaluate(new LetterModel(), selection, {
      source: withCustomTasks([own], NOWHERE),
      limit: 7,
      onProgress: ({ share }) => shares.push(share),
    });
    const [result] = evaluation.tasks;
    expect(result?.estimates.acc?.mean).to.be.closeTo(4 / 7, 1e-12);
    expect(result?.estimates.acc_norm).to.equal(undefined);
    expect([result?.samples.length, result?.originalCount]).to.deep.equal([7, 8]);
    expect(shares[0]).to.equal(0);
    expect(shares.at(-1)).to.equal(1);
    expect(shares).to.deep.equal(shares.toSorted((a, b) => a - b));
  });

  it('continues a stopped run, also after an incomplete line', async () => {
    const own = await ownTask(DOCS);
    const selection = selectTasks(['own'], [own.task]);
    const source = withCustomTasks([own], NOWHERE);
    const path = join(folder(), 'cache', 'model.results');
    const run = async (model: LetterModel) => {
      const cache = new ResultCache(path, (notice) => expect.fail(notice));
      try {
        return await evaluate(model, selection, { source, cache });
      } finally {
        cache.close();
      }
    };
    await errorOf(Error, () => run(new LetterModel(10)));
    const whole = readFileSync(path);
    // The last of ten lines is incomplete.
    truncateSync(path, whole.length - 3);
    const second = new LetterModel();
    const resumed = await run(second);
    expect(second.asked).to.equal(24 - 9);
    const third = new LetterModel();
    const cached = await run(third);
    expect(third.asked).to.equal(0);
    const fresh = await evaluate(new LetterModel(), selection, { source });
    expect(resumed).to.deep.equal(fresh);
    expect(cached).to.deep.equal(fresh);
    // Invalid lines are skipped.
    appendFileSync(path, 'rubbish\n0123456789012345678901 -1.5 1\n');
    expect(new ResultCache(path, (notice) => expect.fail(notice)).size).to.equal(24);
  });

  it('continues with an unwritable cache, with one notice', async () => {
    const own = await ownTask(DOCS);
    const selection = selectTasks(['own'], [own.task]);
    const source = withCustomTasks([own], NOWHERE);
    const inTheWay = join(folder(), 'file');
    writeFileSync(inTheWay, '');
    const notices: string[] = [];
    const cache = new ResultCache(join(inTheWay, 'model.results'), (text) => notices.push(text));
    const found = await evaluate(new LetterModel(), selection, { source, cache });
    expect(found).to.deep.equal(await evaluate(new LetterModel(), selection, { source }));
    expect([cache.isKept, cache.size, notices.length]).to.deep.equal([false, 24, 1]);
    expect(notices[0]).to.match(/file\/model\.results: cannot be written: .*not kept/);
    cache.close();
  });

  it('puts examples before each question', async () => {
    const own = await ownTask(DOCS, {
      description: 'Letters.\n\n',
      fewshot_docs: DOCS.slice(0, 2),
    });
    const load = { source: withCustomTasks([own], NOWHERE), numFewshot: 2 };
    const { examples } = await loadTask(own.task, load);
    const shots = 'Which word of 0 has an e? been\n\nWhich word of 1 has an e? so\n\n';
    const [first] = examples[5]?.requests ?? [];
    expect(first).to.deep.equal({
      context: `Letters.\n\n${shots}Which word of 5 has an e?`,
      continuation: ' been',
    });
    const error = await errorOf(EvaluationError, () =>
      loadTask(own.task, { ...load, numFewshot: 3 }),
    );
    expect(error.message).to.include('expected 3 documents as examples (--num_fewshot), found 2');
  });

  it('draws the examples by seed, or takes the first ones if the task specifies it', async () => {
    const drawn = async (header: object, fewshotSeed?: number) => {
      const own = await ownTask(DOCS, { fewshot_docs: DOCS, num_fewshot: 2, ...header });
      const source = withCustomTasks([own], NOWHERE);
      const { examples } = await loadTask(own.task, { source, fewshotSeed });
      return examples.map(({ requests }) =>
        [...(requests[0]?.context.matchAll(/word of (\d)/g) ?? [])].map(([, n]) => n).join(''),
      );
    };
    const first = await drawn({ fewshot_config: { sampler: 'first_n' } });
    expect(first).to.deep.equal(DOCS.map((_, i) => `01${i}`));
    const bySeed = await drawn({});
    expect(new Set(bySeed.map((found) => found.slice(0, 2))).size).to.be.above(2);
    expect(await drawn({ fewshot_config: { sampler: 'default' } }, 1234)).to.deep.equal(bySeed);
    expect(await drawn({}, 4)).not.to.deep.equal(bySeed);
    const error = await errorOf(EvaluationError, () => drawn({ fewshot_config: { sampler: 'x' } }));
    expect(error.message).to.include('expected a sampler of default or first_n, found "x"');
  });

  it('names the invalid document and field', async () => {
    const cases: [object, string][] = [
      [{ choices: ['a', 'b'], answer: 0 }, "document 1: expected a text 'question'"],
      [{ question: 'q', choices: 'ab', answer: 0 }, "document 1: field 'choices': expected a list"],
      [{ question: 'q', choices: ['a', 'b'], answer: 2 }, 'must be one of 2 choices, found 2'],
      [{ question: 'q', choices: ['a', 'b'], answer: 'c' }, "field 'answer'"],
    ];
    for (const [wrong, message] of cases) {
      const own = await ownTask([DOCS[0], wrong]);
      const source = withCustomTasks([own], NOWHERE);
      const error = await errorOf(EvaluationError, () => loadTask(own.task, { source }));
      expect(error.message).to.include(message);
    }
  });

  it('accepts answers as index, text or letter', async () => {
    const docs = [2, 'no', 'C', '2'].map((answer) => ({ ...DOCS[0], answer }));
    const own = await ownTask(docs);
    const { examples } = await loadTask(own.task, { source: withCustomTasks([own], NOWHERE) });
    expect(examples.map(({ question }) => question.gold)).to.deep.equal([2, 2, 2, 2]);
  });
});

describe('selectTasks', () => {
  const names = (tasks: readonly Task[]) => tasks.map(({ name }) => name);

  it('accepts tasks, groups, patterns and all', () => {
    expect(names(selectTasks(['arc_*', 'copa', 'copa']).tasks)).to.deep.equal([
      'arc_easy',
      'arc_challenge',
      'copa',
    ]);
    const all = selectTasks(['all']);
    expect(all.tasks).to.have.length(7 + 57);
    expect(all.groups.map(({ name }) => name)).to.deep.equal([
      'mmlu_stem',
      'mmlu_other',
      'mmlu_social_sciences',
      'mmlu_humanities',
      'mmlu',
    ]);
    expect(selectTasks(['mmlu_humanities']).tasks).to.have.length(13);
    expect(() => selectTasks(['coppa'])).to.throw(EvaluationError, /unknown task 'coppa'.*copa/);
  });
});

describe('folderDocs', () => {
  it('finds documents and examples, and names the expected files', async () => {
    const dir = folder();
    const [task] = selectTasks(['mmlu_anatomy']).tasks;
    if (!task) throw new Error('no task');
    const error = await errorOf(EvaluationError, () => folderDocs(dir).load(task, true));
    expect(error.message).to.include('mmlu_anatomy.jsonl or mmlu_anatomy/test.jsonl');
    const doc = { question: 'q', choices: ['1', '2', '3', '4'], answer: 1 };
    writeFileSync(join(dir, 'mmlu_anatomy.jsonl'), `${JSON.stringify(doc)}\n\n`);
    writeFileSync(join(dir, 'mmlu_anatomy.dev.jsonl'), JSON.stringify([doc, { doc }]));
    const found = await folderDocs(dir).load(task, true);
    expect(found).to.deep.equal({ docs: [doc], fewshotDocs: [doc, doc] });
    writeFileSync(join(dir, 'mmlu_anatomy.jsonl'), `${JSON.stringify(doc)}\n{"a": \n`);
    const broken = await errorOf(EvaluationError, () => folderDocs(dir).load(task, false));
    expect(broken.message).to.match(/mmlu_anatomy\.jsonl:2: not JSON/);
  });
});

describe('reports', () => {
  it('have a row for all eight tasks with the average, as table, chart and files', async () => {
    const selection = selectTasks(['all']);
    const own = await ownTask(DOCS);
    const docs = own.docs;
    // The card's columns from made-up documents, the same for every task.
    const tasks = selection.tasks.map((task) => ({
      ...task,
      question: own.task.question,
      process: (d: (typeof docs)[number]) => d,
    }));
    const evaluation = await evaluate(
      new LetterModel(),
      { tasks, groups: selection.groups },
      { source: { load: async () => ({ docs, fewshotDocs: docs }) }, numFewshot: 0 },
    );
    const table = cardTable(evaluation, 'me/mine');
    const rows = table.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).to.have.length(2 + 12 + 1);
    expect(new Set(rows.map((row) => row.length))).to.have.length(1);
    const cells = rows
      .at(-1)
      ?.split('|')
      .map((cell) => cell.trim());
    expect(cells?.slice(4, 8)).to.deep.equal(['50.0', '50.0', '50.0 (0-shot)', '50.0']);
    expect(cells?.at(-2)).to.equal('50.0');
    const svg = evaluationChart(evaluation, 'a <b> & "c"');
    expect(svg).to.include('a &lt;b> &amp; &quot;c&quot;, measured');
    expect(svg.match(/<rect x=/g)).to.have.length(1 + 9);
    const dir = folder();
    const info = {
      model: 'm',
      modelArgs: '',
      modelName: 'me/mine',
      batchSize: 1,
      device: 'cpu',
      limit: null,
      date: 1.5,
      seconds: 1,
    };
    const paths = await writeEvaluation(evaluation, info, { outputPath: dir, logSamples: true });
    expect(paths).to.have.length(1 + 64 + 2);
    expect(paths[0]).to.match(/me__mine\/results_19(70|69)-[-\dT]+\.500000\.json$/);
    const json = JSON.parse(readFileSync(paths[0] ?? '', 'utf8'));
    expect(json.results.mmlu['acc,none']).to.equal(0.5);
    expect(json.groups.mmlu.sample_count['acc,none']).to.equal(57 * 8);
  });
});
