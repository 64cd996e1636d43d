// Engines without a model, for tests of what lies before and after it.
import type { Engine, Job, JobEvent } from '../../src/serving/job.js';

/** Takes jobs and never runs them. */
export const idleEngine: Engine = {
  submit: () => () => {},
  load: () => ({ active: 0, waiting: 0, slots: 64 }),
};

/** Ends every job at once: token 1 for each sequence, as many times as wanted. */
export function instantEngine(onJob: (job: Job) => void = () => {}): Engine {
  return {
    ...idleEngine,
    submit(job, onEvent) {
      onJob(job);
      setImmediate(() => runAtOnce(job, onEvent));
      return () => {};
    },
  };
}

function runAtOnce(job: Job, onEvent: (event: JobEvent) => void): void {
  const top = Array.from({ length: job.logProbs ?? 0 }, (_, i) => ({
    id: i + 2,
    logProb: -i - 0.5,
  }));
  const logProbs = job.prompt.map((id, i) => (i === 0 ? null : { id, logProb: -1.25, top }));
  onEvent({
    type: 'prompt',
    tokens: job.prompt.length,
    logProbs: job.promptLogProbs ? logProbs : undefined,
  });
  for (let i = 1; i <= job.maxTokens; i++) {
    for (let k = 0; k < job.n; k++) {
      const logProb = job.logProbs === undefined ? undefined : { id: 1, logProb: -2.5, top };
      const finishReason = i === job.maxTokens ? 'length' : undefined;
      onEvent({ type: 'token', k, id: 1, logProb, finishReason });
    }
  }
  onEvent({ type: 'end' });
}
