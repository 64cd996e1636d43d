// A bar on stderr while something takes long: on a terminal only, and only when it does take long.
import { SingleBar } from 'cli-progress';

/** Milliseconds before a bar appears. */
const PATIENCE = 400;

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
  if (!process.stderr.isTTY) return run(() => {});
  const bar = new SingleBar({
    format,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 100,
  });
  const begin = performance.now();
  const stop = () => bar.stop();
  let started = false;
  try {
    return await run((done, total, payload = {}) => {
      if (started) bar.update(done, payload);
      else if (performance.now() - begin > PATIENCE && done < total) {
        started = true;
        // Ctrl-C ends the process here: the cursor must come back.
        process.once('exit', stop);
        bar.start(total, done, payload);
      }
    });
  } finally {
    process.removeListener('exit', stop);
    if (started) bar.stop();
  }
}
