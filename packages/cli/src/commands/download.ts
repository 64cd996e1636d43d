// `rene download`: a model from the hub into the cache that Python uses too.
import { resolve } from 'node:path';
import type { DownloadOptions } from './download_options.js';
import { exitOnSignals } from './interrupt.js';
import { modelFolder } from './load.js';

export async function runDownload(id: string, { revision }: DownloadOptions): Promise<void> {
  exitOnSignals();
  console.log(resolve(await modelFolder(id, revision)));
}
