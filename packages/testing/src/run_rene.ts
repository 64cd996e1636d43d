// Runs the command line in a separate process, as a user does.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { childEnv } from './child_env.js';

const bin = fileURLToPath(new URL('../../cli/bin/rene.js', import.meta.url));

export interface Run {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Written to stdin, which is then closed. */
  input?: string;
  /** Called with all of stdout so far and a function that sends Ctrl-C once. */
  onOutput?: (stdout: string, interrupt: () => void) => void;
  env?: Record<string, string>;
}

export function runRene(
  args: readonly string[],
  { input = '', onOutput, env = {} }: RunOptions = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      stdio: 'pipe',
      env: childEnv(env),
    });
    let interrupted = false;
    const interruptOnce = () => {
      if (!interrupted) child.kill('SIGINT');
      interrupted = true;
    };
    const run: Run = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      run.stdout += text;
      onOutput?.(run.stdout, interruptOnce);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      run.stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...run, code }));
    child.stdin.end(input);
  });
}
