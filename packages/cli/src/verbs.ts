// The verbs of `rene`. A verb's options are loaded when it is named, its work when it runs.
import type { Command } from 'commander';

export interface Verb {
  readonly description: string;
  /** Loads the verb's options and adds it to the program. */
  readonly add: (program: Command) => Promise<Command>;
}

export const verbs: Readonly<Record<string, Verb>> = {
  bench: {
    description: 'speed and memory of a model on this machine',
    add: async (program) => {
      const { addBench } = await import('./commands/bench_options.js');
      return addBench(program).action(async (options) =>
        (await import('./commands/bench.js')).runBench(options),
      );
    },
  },
  convert: {
    description: 'write a model as safetensors with the original names, from any format',
    add: async (program) => {
      const { addConvert } = await import('./commands/convert_options.js');
      return addConvert(program).action(async (model, out, options) =>
        (await import('./commands/convert.js')).runConvert(model, out, options),
      );
    },
  },
  download: {
    description: 'download a model from the Hugging Face hub',
    add: async (program) => {
      const { addDownload } = await import('./commands/download_options.js');
      return addDownload(program).action(async (id, options) =>
        (await import('./commands/download.js')).runDownload(id, options),
      );
    },
  },
  eval: {
    description: "a model's scores on benchmarks, and how well it predicts a text",
    add: async (program) => {
      const { addEval } = await import('./commands/eval_options.js');
      return addEval(program).action(async (_, options, command) =>
        (await import('./commands/eval.js')).runEval(options, command),
      );
    },
  },
  generate: {
    description: 'continue a text, from the command line or from stdin',
    add: async (program) => {
      const { addGenerate } = await import('./commands/generate_options.js');
      return addGenerate(program).action(async (prompt, options) =>
        (await import('./commands/generate.js')).runGenerate(prompt, options),
      );
    },
  },
  info: {
    description: 'what a model is made of, and what it would run on',
    add: async (program) => {
      const { addInfo } = await import('./commands/info_options.js');
      return addInfo(program).action(async (options) =>
        (await import('./commands/info.js')).runInfo(options),
      );
    },
  },
  quantize: {
    description: 'write a model with smaller weights: int8, int4 or bf16',
    add: async (program) => {
      const { addQuantize } = await import('./commands/quantize_options.js');
      return addQuantize(program).action(async (model, out, options) =>
        (await import('./commands/quantize.js')).runQuantize(model, out, options),
      );
    },
  },
  serve: {
    description: "an HTTP server with OpenAI's completions API",
    add: async (program) => {
      const { addServe } = await import('./commands/serve_options.js');
      return addServe(program).action(async (model, options) =>
        (await import('./commands/serve.js')).runServe(model, options),
      );
    },
  },
  train: {
    description: 'train a model on a text file, or fine-tune one',
    add: async (program) => {
      const { addTrain } = await import('./commands/train_options.js');
      return addTrain(program).action(async (options) =>
        (await import('./commands/train.js')).runTrain(options),
      );
    },
  },
  verify: {
    description: 'check folders of reference numbers: models, ops, sampling',
    add: async (program) => {
      const { addVerify } = await import('./commands/verify_options.js');
      return addVerify(program).action(async (folders, options) =>
        (await import('./commands/verify.js')).runVerify(folders, options),
      );
    },
  },
};
