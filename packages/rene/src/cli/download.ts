// `rene download`: a model from the hub into the cache that Python uses too.
import type { Command } from 'commander';
import { resolveModel } from '../checkpoint/resolve.js';
import { withProgressBar } from './progress_bar.js';

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
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const dir = await withProgressBar(
    '{file} [{bar}] {value}/{total} MB, {rate} MB/s, {eta_formatted} left',
    (update) => {
      const begin = performance.now();
      let start: number | undefined;
      return resolveModel(id, {
        revision,
        onProgress: ({ file, bytes, totalBytes }) => {
          // What an earlier run left on the disk does not count as speed.
          start ??= bytes;
          const seconds = (performance.now() - begin) / 1000;
          const rate = ((bytes - start) / 1e6 / Math.max(seconds, 0.001)).toFixed(1);
          update(megabytes(bytes), megabytes(totalBytes), { file, rate });
        },
        onNotice: (notice) => process.stderr.write(`${notice}\n`),
      });
    },
  );
  console.log(dir);
}
