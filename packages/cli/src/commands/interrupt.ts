// Signals that end a command.
import { constants } from 'node:os';

/** How a verb learns that the user wants it to end. */
export interface Interrupt {
  /** Aborted by the first Ctrl-C after `catch` was called; the second ends the process. */
  readonly signal: AbortSignal;
  /** From now on the verb ends cleanly by itself. Until then Ctrl-C ends the process at once. */
  catch(): void;
}

/** Exit code of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

export function onInterrupt(): Interrupt {
  const controller = new AbortController();
  let caught = false;
  process.on('SIGINT', () => {
    // By exit(), not by the signal, so that a progress bar gives the cursor back.
    if (!caught || controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort(new Error('interrupted'));
  });
  return {
    signal: controller.signal,
    catch: () => {
      caught = true;
    },
  };
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ends a verb that writes files by exit(), which removes those that are not whole. */
export function exitOnSignals(): void {
  for (const name of STOP_SIGNALS) process.on(name, () => process.exit(exitCodeOf(name)));
}

/** 128 and the signal's number, as shells have it. */
function exitCodeOf(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** The signals that ask a long run to save its work and end. */
export interface StopSignals {
  /** Aborted by the first of them; the second ends the process at once. */
  readonly signal: AbortSignal;
  /** 128 and the number of the signal that came, as shells have it. */
  exitCode(): number;
  /** To be called when there is nothing left to save. */
  release(): void;
}

/** Catches Ctrl-C, SIGTERM (a container or cluster stops it) and SIGHUP (its terminal is closed). */
export function stopSignals(): StopSignals {
  const controller = new AbortController();
  let code = INTERRUPTED;
  const release = () => {
    for (const name of STOP_SIGNALS) process.removeListener(name, stop);
  };
  const stop = (name: NodeJS.Signals) => {
    code = exitCodeOf(name);
    release();
    controller.abort(new Error(`stopped by ${name}`));
  };
  for (const name of STOP_SIGNALS) process.on(name, stop);
  return { signal: controller.signal, exitCode: () => code, release };
}
