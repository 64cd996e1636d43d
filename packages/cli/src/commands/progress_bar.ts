// A progress bar on stderr. It appears only on a terminal and only if the work takes long.
import cliProgress from 'cli-progress';

/** Milliseconds before a bar appears. */
const PATIENCE = 400;

/** Appears only after a delay. */
export class LazyProgressBar {
  private readonly begin = performance.now();
  private readonly bar: cliProgress.SingleBar | undefined;
  private started = false;
  private ended = false;

  /** @param format of cli-progress; `update` receives its payload */
  constructor(format: string) {
    if (!process.stderr.isTTY) return;
    this.bar = new cliProgress.SingleBar({
      format,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 100,
      // At first there is no estimate of the time left.
      formatTime: (time, ...others) =>
        Number.isFinite(time) ? cliProgress.Format.TimeFormat(time, ...others) : '?',
    });
  }

  update(done: number, total: number, payload: object = {}): void {
    if (this.started) {
      // A server that does not send a size makes the total grow.
      this.bar?.setTotal(total);
      this.bar?.update(done, payload);
    } else if (!this.ended && performance.now() - this.begin > PATIENCE && done < total) {
      this.started = true;
      // Ctrl-C ends the process here, so restore the cursor.
      process.once('exit', this.stop);
      this.bar?.start(total, done, payload);
    }
  }

  /** Removes the bar. */
  readonly stop = (): void => {
    process.removeListener('exit', this.stop);
    if (this.started) this.bar?.stop();
    this.started = false;
    this.ended = true;
  };
}

/**
 * Runs a function with a progress bar.
 *
 * @param format of cli-progress; `update` receives its payload
 * @param run calls update with the work done and the total
 */
export async function withProgressBar<T>(
  format: string,
  run: (update: (done: number, total: number, payload?: object) => void) => Promise<T>,
): Promise<T> {
  const bar = new LazyProgressBar(format);
  try {
    return await run((done, total, payload) => bar.update(done, total, payload));
  } finally {
    bar.stop();
  }
}
