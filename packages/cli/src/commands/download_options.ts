// The options of `rene download`.
import type { Command } from 'commander';

export interface DownloadOptions {
  revision?: string;
}

export function addDownload(program: Command): Command {
  return program
    .command('download')
    .description('download a model from the Hugging Face hub and print its folder')
    .argument('<id>', 'hub id, e.g. cartesia-ai/Rene-v0.1-1.3b-pytorch')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .addHelpText(
      'after',
      '\nResumes a broken download. Reads HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE,' +
        '\nHTTPS_PROXY and NO_PROXY as Python does.',
    );
}
