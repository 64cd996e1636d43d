// Results and samples in the harness's format and with its values; answers from JSON lines.
import { expect } from 'chai';
import {
  type LoadedTask,
  loadTask,
  scoreGroups,
  scoreTask,
  type TaskResult,
} from '../../src/evaluation/evaluate.js';
import { readResponses, requestLines } from '../../src/evaluation/request_file.js';
import {
  type RunInfo,
  resultsJson,
  sampleJson,
  sanitizeName,
} from '../../src/evaluation/results.js';
import { type Doc, isDoc } from '../../src/evaluation/task.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';
import {
  fakeLoglikelihood,
  mmluExamples,
  olmoEncoder,
  REFERENCE_TASKS,
  referenceJson,
  references,
  skipWithoutReferences,
} from './references.js';

const INFO: RunInfo = {
  model: 'FakeLM',
  modelArgs: 'pretrained=fake/olmo-1b',
  modelName: 'fake/olmo-1b',
  batchSize: 1,
  device: 'cpu',
  limit: 3,
  date: 1795412239.8365,
  seconds: 0.1,
};

function load(name: string, numFewshot: number, limit?: number): Promise<LoadedTask> {
  const lines = references(name);
  const [task] = selectTasks([name]).tasks;
  if (!task) throw new Error(`no task ${name}`);
  const docs = lines.map(({ doc }) => (isDoc(doc) ? doc : {}));
  const fewshotDocs = numFewshot > 0 ? mmluExamples(String(lines[0]?.ctx)) : [];
  return loadTask(task, {
    source: { load: async () => ({ docs, fewshotDocs }) },
    numFewshot,
    limit,
  });
}

function fakeResult(loaded: LoadedTask): TaskResult {
  const responses = loaded.examples.map(({ requests }) =>
    requests.map(({ context, continuation }) => fakeLoglikelihood(context, continuation)),
  );
  return scoreTask(loaded, responses);
}

describe('results files', () => {
  before(function () {
    skipWithoutReferences(this);
  });

  it("have the keys, values and hashes of the harness's files", async () => {
    const expected = referenceJson('example_results');
    const tasks: TaskResult[] = [];
    for (const name of ['arc_easy', ...REFERENCE_TASKS.slice(7)]) {
      tasks.push(fakeResult(await load(name, 0, 3)));
    }
    const groups = selectTasks(['mmlu']).groups.filter(
      ({ name }) => name in docAt(expected.groups),
    );
    const found = resultsJson({ tasks, groups: scoreGroups(tasks, groups) }, INFO);
    // Values of other machines, or without a number of documents that are not available.
    const others = [
      'model_source',
      'n-samples',
      'configs',
      'pretty_env_info',
      'transformers_version',
      'lm_eval_version',
      'total_evaluation_time_seconds',
    ];
    const without = (json: Doc) => Object.entries(json).filter(([key]) => !others.includes(key));
    expect(Object.keys(found)).to.have.members(Object.keys(expected));
    for (const [key, value] of without(expected)) closeTo(found[key], value, key);
    for (const [name, config] of Object.entries(docAt(expected.configs))) {
      const ours = { ...docAt(docAt(found.configs)[name]), metadata: undefined };
      closeTo(ours, { ...docAt(config), metadata: undefined }, name);
    }
  });

  it('have samples with the same hashes and scores', async () => {
    for (const name of REFERENCE_TASKS) {
      const result = fakeResult(await load(name, name.startsWith('mmlu') ? 5 : 0));
      const lines = references(name);
      for (const [i, sample] of result.samples.entries()) {
        const line = lines[i] ?? {};
        const json = sampleJson(result, sample);
        for (const key of ['doc', 'doc_hash', 'prompt_hash', 'target_hash', 'target']) {
          expect(json[key], key).to.deep.equal(line[key]);
        }
        expect(json).to.deep.include(line.expected);
        const texts = sample.responses.map(({ loglikelihood, isGreedy }) => [
          Number.isInteger(loglikelihood) ? `${loglikelihood}.0` : String(loglikelihood),
          isGreedy ? 'True' : 'False',
        ]);
        expect(json.filtered_resps).to.deep.equal(texts);
        expect(json.resps).to.deep.equal(texts.map((text) => [text]));
      }
    }
  });

  it('are in a folder named as in the harness', () => {
    expect(sanitizeName('fake/olmo-1b')).to.equal('fake__olmo-1b');
    expect(sanitizeName('a<b>:c//d[e]*')).to.equal('a__b__c__d__e__');
  });
});

describe('request files', () => {
  before(function () {
    this.timeout(60_000);
    skipWithoutReferences(this);
  });

  it('equal the reference files, and their answers give the same scores', async function () {
    this.timeout(60_000);
    const encoder = await olmoEncoder();
    for (const name of REFERENCE_TASKS.filter(
      (task) => task !== 'mmlu_high_school_european_history',
    )) {
      const loaded = await load(name, name.startsWith('mmlu') ? 5 : 0);
      const lines = references(name);
      const answers: Doc[] = [];
      for await (const request of requestLines(loaded, encoder)) {
        const line = lines[answers.length] ?? {};
        const { task, ...rest } = request;
        expect(task).to.equal(name);
        expect(line).to.deep.include(rest);
        const { fake_loglikelihoods: loglikelihoods, fake_is_greedy: is_greedy } = line;
        answers.push({ ...request, loglikelihoods, is_greedy });
      }
      expect(answers).to.have.length(30);
      const shuffled = answers.toReversed();
      const expected = fakeResult(loaded);
      for (const known of [undefined, loaded]) {
        const { loaded: from, responses } = readResponses(shuffled, loaded.task, known);
        expect(scoreTask(from, responses).estimates).to.deep.equal(expected.estimates);
      }
    }
  });

  it('are refused if a line or a number is missing', async () => {
    const loaded = await load('copa', 0, 2);
    const line = { doc_id: 0, loglikelihoods: [-1, -2], is_greedy: [true, false] };
    const read = (...lines: Doc[]) => readResponses(lines, loaded.task, loaded);
    expect(() => read(line)).to.throw(/document 1: there is no line/);
    expect(() => read(line, { ...line, doc_id: 1, loglikelihoods: [-1] })).to.throw(
      /document 1: expected 2 loglikelihoods, found 1/,
    );
    expect(() => read(line, line)).to.throw(/occurs twice/);
    expect(() => read({ ...line, task: 'piqa' })).to.throw(/no line belongs to the task copa/);
    const odd = read(line, { doc_id: 1, loglikelihoods: ['-Infinity', null] });
    expect(odd.responses[1]?.map((r) => r.loglikelihood)).to.deep.equal([-Infinity, Number.NaN]);
  });
});

function docAt(value: unknown): Doc {
  if (!isDoc(value)) throw new Error('expected an object');
  return value;
}

/** Deep equality, with numbers within 1e-12. */
function closeTo(found: unknown, expected: unknown, path: string): void {
  if (typeof expected === 'number') {
    expect(found, path).to.be.closeTo(expected, 1e-12);
  } else if (isDoc(expected)) {
    expect(Object.keys(docAt(found)), path).to.have.members(Object.keys(expected));
    for (const [key, value] of Object.entries(expected)) {
      closeTo(docAt(found)[key], value, `${path}.${key}`);
    }
  } else expect(found, path).to.deep.equal(expected);
}
