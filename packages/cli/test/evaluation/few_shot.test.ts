// Few-shot examples equal those of lm-evaluation-harness, drawn like Python's random module.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { exampleSampler } from '../../src/evaluation/few_shot/example_sampler.js';
import { PythonRandom } from '../../src/evaluation/few_shot/python_random.js';
import { buildExamples, type Example } from '../../src/evaluation/requests.js';
import type { Doc, Task } from '../../src/evaluation/task.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

interface Reference {
  /** Four consecutive draws of sample(range(n), k). */
  draws: { seed: number; n: number; k: number; samples: number[][] }[];
  tasks: { task: string; docs: Doc[]; train: Doc[]; cases: Case[] }[];
}

interface Case {
  seed: number;
  shots: number;
  /** For each document the hashes of its different contexts. */
  prompts: string[][];
  /** The contexts of some cases. */
  texts?: string[][];
}

/** Written by few_shot_reference.py with lm-eval 0.4.13. */
const reference: Reference = JSON.parse(
  readFileSync(
    fileURLToPath(new URL('../../../test/evaluation/fixtures/few_shot.json', import.meta.url)),
    'utf8',
  ),
);

function taskNamed(name: string): Task {
  const [task] = selectTasks([name]).tasks;
  if (!task) throw new Error(`no task ${name}`);
  return task;
}

const contextsOf = ({ requests }: Example) => [...new Set(requests.map(({ context }) => context))];
const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 20);

describe('PythonRandom', () => {
  it("draws CPython's samples, from small and from large pools", () => {
    expect(reference.draws.length).to.be.above(50);
    for (const { seed, n, k, samples } of reference.draws) {
      const random = new PythonRandom(seed);
      const pool = Array.from({ length: n }, (_, i) => i);
      expect(
        samples.map(() => random.sample(pool, k)),
        `${seed} ${n} ${k}`,
      ).to.deep.equal(samples);
    }
  });

  it('draws distinct items for any seed and size', () => {
    const sizes = fc.tuple(fc.maxSafeInteger(), fc.integer({ min: 1, max: 200 }), fc.nat(200));
    fc.assert(
      fc.property(sizes, ([seed, n, wanted]) => {
        const k = Math.min(wanted, n);
        const pool = Array.from({ length: n }, (_, i) => i);
        const drawn = new PythonRandom(seed).sample(pool, k);
        expect(new Set(drawn)).to.have.length(k);
        expect(drawn.every((item) => item in pool)).to.equal(true);
        expect(new PythonRandom(-seed).sample(pool, k)).to.deep.equal(drawn);
      }),
      { numRuns: 50 },
    );
  });
});

describe('few-shot prompts', () => {
  for (const { task: name, docs, train, cases } of reference.tasks) {
    it(`${name}: lm-eval's prompts, character for character`, () => {
      const task = taskNamed(name);
      for (const { seed, shots, prompts, texts } of cases) {
        const examples = buildExamples(task, docs, {
          numFewshot: shots,
          fewshotDocs: train,
          fewshotSeed: seed,
        });
        const contexts = examples.map(contextsOf);
        if (texts) expect(contexts).to.deep.equal(texts);
        expect(
          contexts.map((own) => own.map(hash)),
          `seed ${seed}, ${shots} examples`,
        ).to.deep.equal(prompts);
      }
    });
  }

  it('use the seed 1234 by default, and each seed draws different examples', () => {
    const [{ task: name, docs, train } = { task: '', docs: [], train: [] }] = reference.tasks;
    const first = (fewshotSeed?: number) => {
      const options = { numFewshot: 4, fewshotDocs: train, fewshotSeed };
      return buildExamples(taskNamed(name), docs, options).map(contextsOf);
    };
    expect(first()).to.deep.equal(first(1234));
    expect(first()).not.to.deep.equal(first(1235));
  });

  it('depend on previous documents, not on later ones', () => {
    const { task: name, docs, train } = reference.tasks[3] ?? { task: '', docs: [], train: [] };
    const build = (some: readonly Doc[]) =>
      buildExamples(taskNamed(name), some, { numFewshot: 2, fewshotDocs: train }).map(contextsOf);
    expect(build(docs.slice(0, 2))).to.deep.equal(build(docs).slice(0, 2));
    expect(build(docs.slice(1))[0]).not.to.deep.equal(build(docs)[1]);
  });

  it('begin with a system instruction, joined like in the harness', () => {
    const { docs, train } = reference.tasks.at(-1) ?? { docs: [], train: [] };
    const begin = (systemInstruction: string, name: string) =>
      buildExamples(taskNamed(name), docs, { fewshotDocs: train, systemInstruction }).map(
        ({ requests }) => requests[0]?.context.slice(0, systemInstruction.length + 8),
      )[0];
    expect(begin('Be brief.', 'mmlu_anatomy')).to.equal('Be brief.\n\nThe fo');
    expect(begin('Be brief.\n', 'mmlu_anatomy')).to.equal('Be brief.\nThe foll');
  });

  it('report too few documents to draw from', () => {
    const doc = (i: number): Doc => ({ goal: `g${i}`, sol1: 'a', sol2: 'b', label: 0 });
    const piqa = taskNamed('piqa');
    const docs = [doc(0), doc(1), doc(2)];
    const draw = (fewshotDocs: Doc[]) =>
      exampleSampler(piqa, { numFewshot: 3, fewshotDocs, seed: 1 })(doc(9));
    // The harness draws one more, in case the document is among them.
    expect(() => draw(docs)).to.throw(
      EvaluationError,
      /piqa: expected 4 documents as examples .* found 3; .*--data_dir/,
    );
    expect(draw([...docs, doc(3)])).to.have.length(3);
    // Rows that differ only in the order of their fields count as equal.
    const same = { label: 0, sol2: 'b', sol1: 'a', goal: 'g9' };
    expect(() => draw([...docs.slice(1), same, same, same])).to.throw(EvaluationError, /found 2/);
  });
});
