// Ctrl-C.

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
