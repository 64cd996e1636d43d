// Signals that end a command.
import { constants } from 'node:os';

/** Tells a command that the user wants it to end. */
export interface Interrupt {
  /** Aborted by the first Ctrl-C after `catch` was called. The second one ends the process. */
  readonly signal: AbortSignal;
  /** From now on the command handles Ctrl-C. Before that, Ctrl-C ends the process at once. */
  catch(): void;
}

/** Exit code of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

export function onInterrupt(): Interrupt {
  const controller = new AbortController();
  let caught = false;
  process.on('SIGINT', () => {
    // Calls exit() instead of dying by the signal, so that a progress bar can restore the cursor.
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

/** Ends a command that writes files with exit(), whose handlers remove incomplete files. */
export function exitOnSignals(): void {
  for (const name of STOP_SIGNALS) process.on(name, () => process.exit(exitCodeOf(name)));
}

/** 128 plus the signal's number, as in shells. */
function exitCodeOf(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** Signals on which a long run saves its work and ends. */
export interface StopSignals {
  /** Aborted by the first signal. The second one ends the process at once. */
  readonly signal: AbortSignal;
  /** 128 plus the number of the received signal, as in shells. */
  exitCode(): number;
  /** Call it when nothing is left to save. */
  release(): void;
}

/** Catches Ctrl-C, SIGTERM (sent by containers and clusters) and SIGHUP (the terminal was closed). */
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
