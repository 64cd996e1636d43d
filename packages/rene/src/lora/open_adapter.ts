// A LoRA adapter by its folder, hub id or URL: adapter_config.json and adapter_model.safetensors or .bin.

import type { ModelConfig } from '../architectures/model_config.js';
import type { HubOptions } from '../checkpoint/hub.js';
import { openPyTorchBin } from '../checkpoint/pytorch_bin.js';
import { openSafetensors } from '../checkpoint/safetensors.js';
import { fetchJson, findUrlSource, Missing } from '../checkpoint/web_file.js';
import type { WebFolder } from '../checkpoint/web_folder.js';
import { CheckpointError } from '../errors.js';
import { parseAdapterConfig } from './adapter_config.js';
import { type Adapter, matchAdapter } from './adapter_file.js';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  type AdapterFiles,
  OLD_ADAPTER_WEIGHTS,
} from './adapter_files.js';
import { planAdapter } from './target_modules.js';

/** An open adapter, with the content of its adapter_config.json. */
export interface OpenAdapter extends Adapter {
  readonly json: unknown;
}

/**
 * Opens an adapter for a model of this configuration. Close it.
 *
 * @param idOrDir a folder or its file URL, a hub id, or the http(s) URL of a folder
 * @throws CheckpointError for files that are missing, not supported, or do not fit the model; HubError
 */
export async function openAdapter(
  idOrDir: string | URL,
  config: ModelConfig,
  hub: HubOptions = {},
): Promise<OpenAdapter> {
  const { webFolderOf } = await import('../checkpoint/platform.js');
  const folder = webFolderOf(idOrDir, hub);
  const files = folder
    ? adapterOnServer(folder)
    : await (await import('./adapter_folder.js')).adapterInFolder(idOrDir, hub);
  const where = `${files.base}/${ADAPTER_CONFIG}`;
  const json = await files.config();
  const options = parseAdapterConfig(json, where);
  const plan = planAdapter(config, options, where);
  const file = await files.weights();
  try {
    return { ...matchAdapter(file, options, plan), json };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function adapterOnServer(folder: WebFolder): AdapterFiles {
  return {
    base: folder.name,
    async config() {
      const found = await fetchJson(folder.url(ADAPTER_CONFIG), folder);
      if (!(found instanceof Missing)) return found.json;
      throw new CheckpointError(
        `${folder.name}/${ADAPTER_CONFIG}: expected a LoRA adapter's configuration, found ${found.why}`,
      );
    },
    async weights() {
      const source = await findUrlSource(folder.url(ADAPTER_WEIGHTS), folder);
      if (!(source instanceof Missing)) return openSafetensors(source);
      const old = await findUrlSource(folder.url(OLD_ADAPTER_WEIGHTS), folder);
      if (!(old instanceof Missing)) return openPyTorchBin(old);
      throw new CheckpointError(
        `${folder.name}/${ADAPTER_WEIGHTS}: expected the adapter's weights, found ${source.why}`,
      );
    },
  };
}
