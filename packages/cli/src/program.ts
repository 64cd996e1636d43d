// The command `rene`: subcommands, version, exit code.
import { packageVersion } from '@rene-js/rene/internal/startup';
import { Command, CommanderError } from 'commander';
import { reportError } from './commands/report_error.js';
import { usageLine } from './commands/usage_line.js';
import { verbs } from './verbs.js';

/** Runs a command line without its leading 'rene' and sets process.exitCode. */
export async function runProgram(args: readonly string[]): Promise<void> {
  const [wanted] = args.filter((arg) => !arg.startsWith('-') && arg !== 'help');
  const verb = wanted !== undefined && Object.hasOwn(verbs, wanted) ? wanted : undefined;
  const program = new Command('rene')
    .description('The Rene language model: hybrid Mamba-2, on TensorFlow.js')
    .version(packageVersion(), '-V, --version', 'print the version')
    .option('--verbose', 'print the stack trace of an error')
    .configureOutput({ outputError: (text, write) => write(usageLine(text, verb)) })
    .exitOverride();
  try {
    for (const [name, { description, add }] of Object.entries(verbs)) {
      if (name === verb) await add(program);
      else program.command(name).description(description).usage('[options]');
    }
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // commander has already printed the message.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else reportError(error, { verb, verbose: args.includes('--verbose') });
  }
}
