// The subcommands of `rene`. The options are loaded when a subcommand is named, its code when it runs.
import type { Command } from 'commander';

export interface Verb {
  readonly description: string;
  /** Loads the subcommand's options and adds it to the program. */
  readonly add: (program: Command) => Promise<Command>;
}

export const verbs: Readonly<Record<string, Verb>> = {
  batch: {
    description: 'answer a file of requests',
    add: async (program) => {
      const { addBatch } = await import('./commands/batch_options.js');
      return addBatch(program).action(async (input, output, options) =>
        (await import('./commands/batch.js')).runBatchCommand(input, output, options),
      );
    },
  },
  bench: {
    description: 'measure the speed and memory of a model',
    add: async (program) => {
      const { addBench } = await import('./commands/bench_options.js');
      return addBench(program).action(async (options) =>
        (await import('./commands/bench.js')).runBench(options),
      );
    },
  },
  chat: {
    description: 'talk to a model that has a chat template',
    add: async (program) => {
      const { addChat } = await import('./commands/chat_options.js');
      return addChat(program).action(async (model, options) =>
        (await import('./commands/chat.js')).runChat(model, options),
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
    description: 'evaluate a model on benchmark tasks or a text',
    add: async (program) => {
      const { addEval } = await import('./commands/eval_options.js');
      return addEval(program).action(async (_, options, command) =>
        (await import('./commands/eval.js')).runEval(options, command),
      );
    },
  },
  generate: {
    description: 'generate a continuation of a prompt',
    add: async (program) => {
      const { addGenerate } = await import('./commands/generate_options.js');
      return addGenerate(program).action(async (prompt, options) =>
        (await import('./commands/generate.js')).runGenerate(prompt, options),
      );
    },
  },
  info: {
    description: 'print the blocks, sizes and files of a model, and the backend',
    add: async (program) => {
      const { addInfo } = await import('./commands/info_options.js');
      return addInfo(program).action(async (model, options) =>
        (await import('./commands/info.js')).runInfo(model, options),
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
    description: "serve a model over HTTP with OpenAI's completions and chat completions API",
    add: async (program) => {
      const { addServe } = await import('./commands/serve_options.js');
      return addServe(program).action(async (model, { config }, command: Command) => {
        if (config !== undefined) {
          const { applyConfigFile } = await import('./commands/config_file.js');
          await applyConfigFile(command, config);
        }
        await (await import('./commands/serve.js')).runServe(model, command.opts());
      });
    },
  },
  train: {
    description: 'train a model on documents, or fine-tune one',
    add: async (program) => {
      const { addTrain } = await import('./commands/train_options.js');
      return addTrain(program).action(async (options) =>
        (await import('./commands/train.js')).runTrain(options),
      );
    },
  },
  verify: {
    description: 'compare models, ops and sampling with reference numbers',
    add: async (program) => {
      const { addVerify } = await import('./commands/verify_options.js');
      return addVerify(program).action(async (folders, options) =>
        (await import('./commands/verify.js')).runVerify(folders, options),
      );
    },
  },
  worker: {
    description: 'do the work of rene batch --queue and rene eval --queue',
    add: async (program) => {
      const { addWorker } = await import('./commands/worker_options.js');
      return addWorker(program).action(async (options) =>
        (await import('./commands/worker.js')).runWorker(options),
      );
    },
  },
};
