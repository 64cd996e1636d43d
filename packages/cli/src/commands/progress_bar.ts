// A bar on stderr while something takes long: on a terminal only, and only when it does take long.
import cliProgress from 'cli-progress';

/** Milliseconds before a bar appears. */
const PATIENCE = 400;

/** Shows nothing until it is clear that there is time to look at it. */
export class LazyProgressBar {
  private readonly begin = performance.now();
  private readonly bar: cliProgress.SingleBar | undefined;
  private started = false;
  private ended = false;

  /** @param format of cli-progress, whose payload `update` is given */
  constructor(format: string) {
    if (!process.stderr.isTTY) return;
    this.bar = new cliProgress.SingleBar({
      format,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 100,
      // Before anything is done the time left is no number.
      formatTime: (time, ...others) =>
        Number.isFinite(time) ? cliProgress.Format.TimeFormat(time, ...others) : '?',
    });
  }

  update(done: number, total: number, payload: object = {}): void {
    if (this.started) {
      // A server that tells no size has the total grow.
      this.bar?.setTotal(total);
      this.bar?.update(done, payload);
    } else if (!this.ended && performance.now() - this.begin > PATIENCE && done < total) {
      this.started = true;
      // Ctrl-C ends the process here: the cursor must come back.
      process.once('exit', this.stop);
      this.bar?.start(total, done, payload);
    }
  }

  /** Clears it away for good. */
  readonly stop = (): void => {
    process.removeListener('exit', this.stop);
    if (this.started) this.bar?.stop();
    this.started = false;
    this.ended = true;
  };
}

/**
 * Runs something with a bar that shows how far it is.
 *
 * @param format of cli-progress, whose payload `update` is given
 * @param run calls update with what is done, of how much
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
