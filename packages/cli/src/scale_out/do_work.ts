// Does work with a model in this process: requests by a server that does not listen, scores by prefix trees.
import type { CausalLM, Tokenizer } from '@rene-js/rene';
import type { Answer } from '../batch/run_batch.js';
import { ReneScorer } from '../evaluation/scoring/rene_scorer.js';
import type { DoWork } from './consumer.js';
import type { Outcome, WorkItem } from './work.js';

/** @param answer of the server */
export function workWith(model: CausalLM, tokenizer: Tokenizer, answer: Answer): DoWork {
  return async (items, onOutcome) => {
    const stored: Promise<void>[] = [];
    const put = (item: WorkItem, outcome: Outcome) => {
      const promise = onOutcome(item, outcome);
      promise.catch(() => {}); // awaited below
      stored.push(promise);
    };
    await Promise.all([score(model, tokenizer, items, put), answerAll(items, answer, put)]);
    await Promise.all(stored);
  };
}

type Put = (item: WorkItem, outcome: Outcome) => void;

async function answerAll(items: readonly WorkItem[], answer: Answer, put: Put): Promise<void> {
  await Promise.all(
    items.map(async (item) => {
      const { work } = item;
      if (work.kind !== 'request') return;
      put(item, { kind: 'response', response: await answer(work.request) });
    }),
  );
}

async function score(
  model: CausalLM,
  tokenizer: Tokenizer,
  items: readonly WorkItem[],
  put: Put,
): Promise<void> {
  const lengths = new Set(
    items.flatMap(({ work }) => (work.kind === 'score' ? [work.maxLength] : [])),
  );
  for (const maxLength of lengths) {
    const own: WorkItem[] = [];
    const requests = items.flatMap((item) => {
      if (item.work.kind !== 'score' || item.work.maxLength !== maxLength) return [];
      own.push(item);
      return [item.work];
    });
    const scorer = new ReneScorer(model, tokenizer, { maxLength });
    await scorer.loglikelihoods(requests, {
      onResult: (i, result) => {
        const item = own[i];
        if (item) put(item, { kind: 'score', score: result });
      },
    });
  }
}
