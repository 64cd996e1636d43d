// What the two sides of the comparison tell each other: each is a process, which waits to be asked.

/** Asked of a side. */
export interface Ask {
  readonly prompt: readonly number[];
  /** Tokens to decode after the first. */
  readonly tokens: number;
}

/** Answered: seconds. */
export interface Answer {
  /** From the prompt to its first token. */
  readonly prefill: number;
  /** From the first token to the last. */
  readonly decode: number;
  /** Bytes a second that the process reads memory with; 0 where it cannot tell. */
  readonly readBandwidth: number;
  /** The most memory the process has held. */
  readonly peakBytes: number;
}

/** Said once, when the model is loaded. */
export interface Ready {
  readonly ready: true;
  readonly loadSeconds: number;
}

/** Answers what the parent process asks, one after the other, until it goes away. */
export function serve(loadSeconds: number, answer: (ask: Ask) => Promise<Answer>): void {
  process.on('message', (ask: Ask) => {
    answer(ask).then(
      (result) => process.send?.(result),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
  const ready: Ready = { ready: true, loadSeconds };
  process.send?.(ready);
}

/** Times a stream of tokens; the first of them belongs to the prompt. */
export async function timeTokens(
  tokens: AsyncIterable<unknown>,
  count: number,
): Promise<Pick<Answer, 'prefill' | 'decode'>> {
  const start = performance.now();
  let first = start;
  let seen = 0;
  for await (const _ of tokens) {
    if (seen === 0) first = performance.now();
    if (seen === count) break;
    seen++;
  }
  if (seen < count) throw new Error(`it ended after ${seen} of ${count} tokens`);
  const end = performance.now();
  return { prefill: (first - start) / 1000, decode: (end - first) / 1000 };
}
