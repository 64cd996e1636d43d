// Requests, token ids, scores and hashes equal those of the original harness.
import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { textsOf } from '../../src/evaluation/fields.js';
import { argmax, estimate, pooled, scoreQuestion } from '../../src/evaluation/metrics.js';
import { jsonDumps } from '../../src/evaluation/python_text.js';
import { buildExamples, encodeRequest, rememberingEncoder } from '../../src/evaluation/requests.js';
import { type Doc, isDoc } from '../../src/evaluation/task.js';
import { hellaswag } from '../../src/evaluation/tasks/hellaswag.js';
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

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

function docOf(reference: Doc): Doc {
  if (!isDoc(reference.doc)) throw new Error('a reference without a document');
  return reference.doc;
}

function examplesOf(name: string) {
  const lines = references(name);
  const [task] = selectTasks([name]).tasks;
  if (!task) throw new Error(`no task ${name}`);
  const shots = name.startsWith('mmlu') ? 5 : 0;
  const fewshotDocs = shots > 0 ? mmluExamples(String(lines[0]?.ctx)) : [];
  const examples = buildExamples(task, lines.map(docOf), { numFewshot: shots, fewshotDocs });
  return { task, lines, examples };
}

describe('evaluation against the reference files', () => {
  before(function () {
    this.timeout(60_000);
    skipWithoutReferences(this);
  });

  for (const name of REFERENCE_TASKS) {
    it(`${name}: the same contexts, continuations, token ids, scores and hashes`, async () => {
      const { task, lines, examples } = examplesOf(name);
      const encoder = rememberingEncoder(await olmoEncoder());
      const values: Record<string, number[]> = {};
      expect(examples).to.have.length(30);
      for (const [i, { doc, question, requests }] of examples.entries()) {
        const line = lines[i] ?? {};
        const contexts = requests.map(({ context }) => context);
        const continuations = requests.map(({ continuation }) => continuation);
        expect(contexts).to.deep.equal(line.contexts ?? continuations.map(() => line.ctx));
        expect(continuations).to.deep.equal(
          line.continuations ?? contexts.map(() => line.continuation),
        );
        expect(question.choices).to.deep.equal(line.choices);
        expect(question.gold).to.equal(line.gold);
        expect(question.target).to.equal(line.target);
        expect(sha256(jsonDumps(doc))).to.equal(line.doc_hash);
        expect(sha256(contexts[0] ?? '')).to.equal(line.prompt_hash);
        expect(sha256(question.target)).to.equal(line.target_hash);

        const encoded = [];
        for (const request of requests) encoded.push(await encodeRequest(request, encoder));
        const contextIds = encoded.map((request) => request.contextIds);
        expect(encoded.map((request) => request.continuationIds)).to.deep.equal(
          line.continuation_ids,
        );
        if (line.contexts) expect(contextIds).to.deep.equal(line.context_ids);
        else for (const ids of contextIds) expect(ids).to.deep.equal(line.context_ids);

        const fakes = requests.map((r) => fakeLoglikelihood(r.context, r.continuation));
        const loglikelihoods = fakes.map(({ loglikelihood }) => loglikelihood);
        expect(loglikelihoods).to.deep.equal(line.fake_loglikelihoods);
        const scores = scoreQuestion(question, loglikelihoods, task.metrics);
        expect(scores).to.deep.equal(line.expected);
        for (const [metric, score] of Object.entries(scores)) {
          values[metric] = [...(values[metric] ?? []), score];
        }
      }
      const expected = docAt(docAt(referenceJson('metrics'), 'tasks'), name);
      expect(Object.keys(expected)).to.have.length(1 + 2 * Object.keys(values).length);
      for (const [metric, list] of Object.entries(values)) {
        const { mean, stderr } = estimate(list);
        expect(mean).to.be.closeTo(Number(expected[metric]), 1e-12);
        expect(stderr).to.be.closeTo(Number(expected[`${metric}_stderr`]), 1e-12);
      }
    });
  }

  it('averages groups over documents, with the pooled standard error', () => {
    const group = docAt(referenceJson('metrics'), 'group_case');
    const results = docAt(group, 'results');
    const leaves = Object.entries(docAt(group, 'sizes')).map(([name, size]) => {
      const { task, lines, examples } = examplesOf(name);
      const scores = examples.slice(0, Number(size)).map(({ question }, i) => {
        const line = lines[i] ?? {};
        const values = line.fake_loglikelihoods;
        if (!Array.isArray(values)) throw new Error('no log-likelihoods');
        return scoreQuestion(question, values, task.metrics).acc ?? Number.NaN;
      });
      return { name, estimate: estimate(scores) };
    });
    const check = (name: string, members: string[]) => {
      const found = pooled(
        leaves.filter((leaf) => members.includes(leaf.name)).map((leaf) => leaf.estimate),
      );
      expect(found.mean, name).to.be.closeTo(Number(docAt(results, name)['acc,none']), 1e-12);
      expect(found.stderr, name).to.be.closeTo(
        Number(docAt(results, name)['acc_stderr,none']),
        1e-12,
      );
    };
    const names = leaves.map(({ name }) => name);
    for (const name of names) check(name, [name]);
    check('mmlu_stem', names.slice(0, 2));
    check('mmlu_humanities', names.slice(2));
    check('mmlu', names);
  });

  it('encodes pairs like _encode_pair, also at unusual boundaries', async () => {
    const encoder = await olmoEncoder();
    for (const { ctx, continuation, context_ids, continuation_ids } of references(
      'encode_pair_cases',
    )) {
      const request = { context: String(ctx), continuation: String(continuation) };
      const found = await encodeRequest(request, encoder);
      const expected = { contextIds: context_ids, continuationIds: continuation_ids };
      expect(found, JSON.stringify(request)).to.deep.equal(expected);
    }
  });

  it('breaks ties, measures lengths and ranks NaN and infinities like process_results', () => {
    for (const { case: name, choices, loglikelihoods, gold, expected } of references(
      'scoring_cases',
    )) {
      if (!Array.isArray(loglikelihoods)) throw new Error('no log-likelihoods');
      const question = { choices: textsOf({ choices }, 'choices'), gold: Number(gold) };
      const scores = scoreQuestion(question, loglikelihoods.map(Number), ['acc', 'acc_norm']);
      expect(scores, String(name)).to.deep.equal(expected);
    }
  });

  it('cleans HellaSwag documents like process_docs', () => {
    for (const { doc, query, choices, gold } of references('hellaswag_preprocess')) {
      const processed = isDoc(doc) ? hellaswag.process?.(doc) : undefined;
      expect(processed).to.deep.include({ query, choices, gold });
    }
  });
});

describe('argmax', () => {
  it('returns the first of equal maxima and the first NaN', () => {
    expect(argmax([1, 3, 3])).to.equal(1);
    expect(argmax([1, Number.NaN, 5, Number.NaN])).to.equal(1);
    expect(argmax([-Infinity, -Infinity])).to.equal(0);
  });
});

function docAt(doc: Doc, key: string): Doc {
  const value = doc[key];
  if (!isDoc(value)) throw new Error(`no object '${key}'`);
  return value;
}
