// The command line `rene`: one verb a file, loaded only when it is used.

import { packageVersion } from '@rene-js/rene/internal';
import { Command, CommanderError } from 'commander';
import { watchOutput } from './commands/output.js';
import { usageLine } from './commands/usage_line.js';

interface Verb {
  readonly description: string;
  /** Loads the verb's file and adds it, with its options, to the program. */
  readonly add: (program: Command) => Promise<void>;
}

const verbs: Readonly<Record<string, Verb>> = {
  bench: {
    description: 'speed and memory of a model on this machine',
    add: async (program) => (await import('./commands/bench.js')).addBench(program),
  },
  convert: {
    description: 'write a model as safetensors with the original names, from any format',
    add: async (program) => (await import('./commands/convert.js')).addConvert(program),
  },
  download: {
    description: 'download a model from the Hugging Face hub',
    add: async (program) => (await import('./commands/download.js')).addDownload(program),
  },
  eval: {
    description: "a model's scores on benchmarks, and how well it predicts a text",
    add: async (program) => (await import('./commands/eval.js')).addEval(program),
  },
  generate: {
    description: 'continue a text, from the command line or from stdin',
    add: async (program) => (await import('./commands/generate.js')).addGenerate(program),
  },
  info: {
    description: 'what a model is made of, and what it would run on',
    add: async (program) => (await import('./commands/info.js')).addInfo(program),
  },
  quantize: {
    description: 'write a model with smaller weights: int8, int4 or bf16',
    add: async (program) => (await import('./commands/quantize.js')).addQuantize(program),
  },
  serve: {
    description: "an HTTP server with OpenAI's completions API",
    add: async (program) => (await import('./commands/serve.js')).addServe(program),
  },
  train: {
    description: 'train a model on a text file, or fine-tune one',
    add: async (program) => (await import('./commands/train.js')).addTrain(program),
  },
  verify: {
    description: 'check folders of reference numbers: models, ops, sampling',
    add: async (program) => (await import('./commands/verify.js')).addVerify(program),
  },
};

await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  watchOutput();
  const [wanted] = args.filter((arg) => !arg.startsWith('-') && arg !== 'help');
  const verb = wanted !== undefined && Object.hasOwn(verbs, wanted) ? wanted : undefined;
  const program = new Command('rene')
    .description('The Rene language model: hybrid Mamba-2, on TensorFlow.js')
    .version(packageVersion(), '-V, --version', 'print the version')
    .option('--verbose', 'print the stack of an error')
    .configureOutput({ outputError: (text, write) => write(usageLine(text, verb)) })
    .exitOverride();
  try {
    for (const [name, { description, add }] of Object.entries(verbs)) {
      if (name === verb) await add(program);
      else program.command(name).description(description).usage('[options]');
    }
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // commander has told the user already.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else
      (await import('./commands/report_error.js')).reportError(error, {
        verb,
        verbose: args.includes('--verbose'),
      });
  }
}
