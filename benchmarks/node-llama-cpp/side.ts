// Messages between the comparison and its two sides. Each side is a process that waits for requests.

/** A request to a side. */
export interface Ask {
  readonly prompt: readonly number[];
  /** Number of tokens to decode after the first one. */
  readonly tokens: number;
}

/** A response: seconds. */
export interface Answer {
  /** From the prompt to the first token. */
  readonly prefill: number;
  /** From the first token to the last one. */
  readonly decode: number;
  /** Memory read bandwidth of the process in bytes per second; 0 if unknown. */
  readonly readBandwidth: number;
  /** Peak memory of the process. */
  readonly peakBytes: number;
}

/** Sent once, when the model is loaded. */
export interface Ready {
  readonly ready: true;
  readonly loadSeconds: number;
}

/** Handles the parent process's requests in turn, until it exits. */
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

/** Times a stream of tokens. The first token counts as prefill. */
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
