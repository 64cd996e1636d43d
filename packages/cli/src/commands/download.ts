// `rene download`: a model from the hub into the cache that Python uses too.
import { resolve } from 'node:path';
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
      '\nResumes a broken download. Reads HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE,' +
        '\nHTTPS_PROXY and NO_PROXY as Python does.',
    )
    .action(run);
}

async function run(id: string, { revision }: Options): Promise<void> {
  console.log(resolve(await modelFolder(id, revision)));
}
