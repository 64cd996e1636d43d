// A process of documentation/commands.test.ts that runs several `rene` commands, so that packages load once.
import { runProgram } from '../../src/program.js';

export interface Result {
  readonly args: readonly string[];
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

process.once('message', async (commands: string[][]) => {
  for (const args of commands) {
    const [stdout, stderr] = [capture(process.stdout), capture(process.stderr)];
    process.exitCode = 0;
    await runProgram(args);
    const result: Result = {
      args,
      code: Number(process.exitCode ?? 0),
      stdout: stdout.end(),
      stderr: stderr.end(),
    };
    process.send?.(result);
  }
  process.disconnect();
  process.exit(0);
});

/** Collects what is written to a stream instead of writing it. */
function capture(stream: NodeJS.WriteStream): { end(): string } {
  const { write } = stream;
  let text = '';
  stream.write = (chunk: string | Uint8Array) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    return true;
  };
  return {
    end() {
      stream.write = write;
      return text;
    },
  };
}
