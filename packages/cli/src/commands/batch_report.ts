// What `rene batch` says of its progress.
import type { StopSignals } from './interrupt.js';
import { onNotice } from './load.js';

/** The progress bar's format. */
export const PROGRESS = '{value}/{total} requests [{bar}] {eta_formatted} left, {failed} failed';

/** Says how far a run has come. */
export function report(
  output: string,
  total: number,
  { done, failed }: { done: number; failed: number },
  stop: StopSignals,
): void {
  const counts = `${done} of ${total} requests have a result, ${failed} of them an error`;
  if (!stop.signal.aborted) {
    process.stdout.write(`${output}: ${counts}\n`);
    if (failed > 0 && failed === total) process.exitCode = 1;
  } else {
    process.exitCode = stop.exitCode();
    onNotice(`stopped: ${counts}; run the same command again to continue`);
  }
}
