// Tables in lm-eval's format. Other models' rows are shown only for complete runs.
import { expect } from 'chai';
import { partOfCard } from '../../src/evaluation/card_scores.js';
import { evaluationChart } from '../../src/evaluation/chart.js';
import {
  type Evaluation,
  type LoadOptions,
  loadTask,
  scoreGroups,
  scoreTask,
  type TaskResult,
} from '../../src/evaluation/evaluate.js';
import { cardTable } from '../../src/evaluation/report.js';
import { type RunInfo, resultsJson } from '../../src/evaluation/results.js';
import { resultsTable } from '../../src/evaluation/results_table.js';
import type { Doc } from '../../src/evaluation/task.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

const MAKERS: Record<string, (i: number) => Doc> = {
  copa: (i) => ({
    premise: 'It rained.',
    question: 'cause',
    choice1: 'A.',
    choice2: 'Bb.',
    label: i % 2,
  }),
  piqa: (i) => ({ goal: 'g', sol1: 'a', sol2: 'bb', label: i % 3 === 0 ? 1 : 0 }),
};

const mmluDoc = (i: number): Doc => ({
  question: 'q',
  choices: ['1', '2', '3', '4'],
  answer: i % 4,
});

/** Made-up documents whose first choice is always the most probable. */
async function run(
  names: string[],
  count: number,
  options: Partial<LoadOptions> = {},
): Promise<Evaluation> {
  const selection = selectTasks(names);
  const tasks: TaskResult[] = [];
  for (const task of selection.tasks) {
    const docs = Array.from({ length: count }, (_, i) => (MAKERS[task.name] ?? mmluDoc)(i));
    const source = { load: async () => ({ docs, fewshotDocs: docs }) };
    const loaded = await loadTask(task, { source, ...options });
    const responses = loaded.examples.map(({ requests }) =>
      requests.map((_, i) => ({ loglikelihood: -1 - 4 * i, isGreedy: false })),
    );
    tasks.push(scoreTask(loaded, responses));
  }
  return { tasks, groups: scoreGroups(tasks, selection.groups) };
}

const INFO: RunInfo = {
  model: 'm',
  modelArgs: '',
  modelName: 'mine',
  batchSize: 1,
  device: 'cpu',
  limit: null,
  date: 1,
  seconds: 1,
};

describe('resultsTable', () => {
  it('equals the table of lm-eval', async () => {
    expect(resultsTable(await run(['piqa', 'copa'], 4))).to.equal(
      [
        '|Tasks|Version|Filter|n-shot| Metric |   |Value |   |Stderr|',
        '|-----|------:|------|-----:|--------|---|-----:|---|-----:|',
        '|copa |      1|none  |     0|acc     |↑  |0.5000|±  |0.2887|',
        '|piqa |      1|none  |     0|acc     |↑  |0.5000|±  |0.2887|',
        '|     |       |none  |     0|acc_norm|↑  |0.5000|±  |0.2887|',
        '',
      ].join('\n'),
    );
  });

  it('lists members below their groups, and the groups again', async () => {
    const names = ['mmlu_anatomy', 'mmlu_virology', 'mmlu_astronomy'];
    const evaluation = await run(names, 1);
    const { groups } = selectTasks(['mmlu']);
    const some = groups.filter(({ name }) => ['mmlu', 'mmlu_stem', 'mmlu_other'].includes(name));
    const table = resultsTable({ ...evaluation, groups: scoreGroups(evaluation.tasks, some) });
    expect(table).to.equal(
      [
        '|    Tasks    |Version|Filter|n-shot|Metric|   |Value |   |Stderr|',
        '|-------------|------:|------|-----:|------|---|-----:|---|------|',
        '|mmlu         |      2|none  |      |acc   |↑  |1.0000|±  |   N/A|',
        '| - other     |      2|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '|  - virology |      1|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '| - stem      |      2|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '|  - anatomy  |      1|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '|  - astronomy|      1|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '',
        '| Groups |Version|Filter|n-shot|Metric|   |Value |   |Stderr|',
        '|--------|------:|------|-----:|------|---|-----:|---|------|',
        '|mmlu    |      2|none  |      |acc   |↑  |1.0000|±  |   N/A|',
        '| - other|      2|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '| - stem |      2|none  |     0|acc   |↑  |1.0000|±  |   N/A|',
        '',
      ].join('\n'),
    );
  });
});

describe("other models' rows", () => {
  const rows = (table: string) => table.split('\n').filter((line) => line.startsWith('| '));
  const circles = (svg: string) => svg.match(/<circle/g)?.length ?? 0;

  it('are shown for a complete task', async () => {
    const evaluation = await run(['copa'], 100);
    expect(rows(cardTable(evaluation, 'mine'))).to.have.length(1 + 12 + 1 + 1);
    expect(rows(cardTable(evaluation, 'mine')).at(-1)).to.match(/\*\*mine \(measured\)\*\* /);
    expect(circles(evaluationChart(evaluation, 'mine'))).to.equal(9 * 12 + 2);
    // A folder with the complete task.
    expect(partOfCard(evaluation, '--data_dir')).to.equal(undefined);
  });

  const parts: [string, Promise<Evaluation>, Parameters<typeof partOfCard>[1], string][] = [
    ['--limit', run(['copa'], 100, { limit: 99 }), undefined, 'part of the documents'],
    ['a share', run(['copa'], 100, { limit: 0.5 }), undefined, 'part of the documents'],
    [
      '--samples',
      run(['copa'], 3, { samples: new Map([['copa', [0, 2]]]) }),
      undefined,
      'part of the documents',
    ],
    ['--docs', run(['copa'], 100), '--docs', 'documents of --docs'],
    ['a folder that holds a part', run(['copa'], 7), '--data_dir', 'documents of --data_dir'],
    ['some responses', run(['mmlu'], 2), '--responses', 'documents of --responses'],
    ['one task of two', run(['copa', 'piqa'], 100), '--data_dir', 'documents of --data_dir'],
  ];
  for (const [what, evaluation, documents, mark] of parts) {
    it(`are omitted, and the measured row is marked, with ${what}`, async () => {
      const found = await evaluation;
      const table = cardTable(found, 'mine', documents);
      expect(rows(table)).to.have.length(1 + 1 + 1);
      expect(rows(table).at(-1)).to.include(`**mine (measured on ${mark})**`);
      expect(table).to.include(`Measured on ${mark}, so the model card's rows are left out.`);
      expect(table).not.to.include('OLMo');
      const chart = evaluationChart(found, 'mine', documents);
      expect(circles(chart)).to.equal(0);
      expect(chart).to.include(`measured on ${mark}`);
    });
  }
});

describe('resultsJson', () => {
  it('contains no version of lm-eval, and the seeds and samplers that were used', async () => {
    const evaluation = await run(['piqa', 'mmlu_anatomy'], 9, { numFewshot: 2, fewshotSeed: 5 });
    const json = JSON.parse(
      JSON.stringify(resultsJson(evaluation, { ...INFO, seeds: [1, null, 3, 5] })),
    );
    expect(json.lm_eval_version).to.equal('N/A');
    expect(json.pretty_env_info).to.match(/^@rene-js\/rene \d/);
    expect(json.config).to.include({
      random_seed: 1,
      numpy_seed: null,
      torch_seed: 3,
      fewshot_seed: 5,
    });
    const { piqa, mmlu_anatomy: mmlu } = json.configs;
    expect(piqa.fewshot_config).to.include({ sampler: 'default', split: null });
    expect(mmlu.fewshot_config).to.include({ sampler: 'first_n', split: 'dev' });
    const instructed = resultsJson(evaluation, { ...INFO, systemInstruction: 'abc' });
    expect(instructed.system_instruction).to.equal('abc');
    expect(instructed.system_instruction_sha).to.match(/^ba7816bf8f01cfea/);
  });
});
