// Runs the command line in the test's own process, which is much faster than a separate one.
import { type Run, runRene } from '@rene-js/testing';
import { runProgram } from '../src/program.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `rene` in this process and returns its output and exit code. Only one call at a time.
 *
 * Tests of signals, stdin, full disks and environment variables that are read once use `runRene`, which
 * starts a process.
 */
export async function runInProcess(
  args: readonly string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<Run> {
  // The emulated CUDA device would take minutes, and may be in use in this process.
  if (process.env.RENE_CUDA === 'emulated') return runRene(args, { env });
  const stdout = capture(process.stdout);
  const stderr = capture(process.stderr);
  const exitCode = process.exitCode;
  const environment = { ...process.env };
  const listeners = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
  try {
    process.exitCode = 0;
    Object.assign(process.env, env);
    await runProgram(args);
    const code = Number(process.exitCode);
    return { code, stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    stdout.restore();
    stderr.restore();
    process.exitCode = exitCode;
    for (const name of Object.keys(env)) {
      if (environment[name] === undefined) delete process.env[name];
      else process.env[name] = environment[name];
    }
    for (const [signal, before] of listeners) {
      for (const listener of process.listeners(signal)) {
        if (!before.includes(listener)) process.removeListener(signal, listener);
      }
    }
  }
}

/** Captures what is written to a stream, which is not a terminal meanwhile. */
function capture(stream: NodeJS.WriteStream): { text: () => string; restore: () => void } {
  const { write, isTTY } = stream;
  let text = '';
  stream.isTTY = false;
  stream.write = (chunk: string | Uint8Array) => {
    text += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
    return true;
  };
  return {
    text: () => text,
    restore: () => Object.assign(stream, { write, isTTY }),
  };
}
