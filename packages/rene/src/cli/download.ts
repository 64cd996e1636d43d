// `rene download`: a model from the hub into the cache that Python uses too.
import type { Command } from 'commander';
import { modelFolder } from './load.js';

interface Options {
  revision?: string;
}

export function addDownload(program: Command): void {
  program
    .command('download')
    .description('download a model from the Hugging Face hub; prints the folder that holds it')
    .argument('<id>', 'e.g. cartesia-ai/Rene-v0.1-1.3b-pytorch')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .addHelpText(
      'after',
      '\nA broken download is resumed. HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE are read as in Python.',
    )
    .action(run);
}

async function run(id: string, { revision }: Options): Promise<void> {
  console.log(await modelFolder(id, revision));
}
