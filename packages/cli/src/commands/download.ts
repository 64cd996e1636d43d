// `rene download`: downloads a model into the cache that Python's huggingface_hub uses too.
import { resolve } from 'node:path';
import type { DownloadOptions } from './download_options.js';
import { exitOnSignals } from './interrupt.js';
import { modelFolder } from './load.js';

export async function runDownload(id: string, { revision }: DownloadOptions): Promise<void> {
  exitOnSignals();
  console.log(resolve(await modelFolder(id, revision)));
}
