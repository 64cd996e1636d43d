// A LoRA adapter by its folder, hub id or URL: adapter_config.json and adapter_model.safetensors or .bin.
import type { HubOptions } from '../checkpoint/hub.js';
import { isRepoId } from '../checkpoint/model_names.js';
import { openPyTorchBin } from '../checkpoint/pytorch_bin.js';
import { openSafetensors } from '../checkpoint/safetensors.js';
import type { TensorFile } from '../checkpoint/tensor_file.js';
import { fetchJson, Missing, urlSource } from '../checkpoint/web_file.js';
import type { WebFolder } from '../checkpoint/web_folder.js';
import type { ReneConfig } from '../config.js';
import { CheckpointError } from '../errors.js';
import { parseAdapterConfig } from './adapter_config.js';
import { type Adapter, matchAdapter } from './adapter_file.js';
import { planAdapter } from './target_modules.js';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
const OLD_WEIGHTS = 'adapter_model.bin';

/** An open adapter, with the content of its adapter_config.json. */
export interface OpenAdapter extends Adapter {
  readonly json: unknown;
}

/**
 * Opens an adapter for a model of this configuration. Close it.
 *
 * @param idOrDir a folder, a hub id, or the http(s) URL of a folder
 * @throws CheckpointError for files that are missing, not supported, or do not fit the model; HubError
 */
export async function openAdapter(
  idOrDir: string,
  config: ReneConfig,
  hub: HubOptions = {},
): Promise<OpenAdapter> {
  const { webFolderOf } = await import('../checkpoint/platform.js');
  const folder = webFolderOf(idOrDir, hub);
  const files = folder ? adapterOnServer(folder) : await adapterInFolder(idOrDir, hub);
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

interface AdapterFiles {
  /** Its path or URL, without a slash at the end. */
  readonly base: string;
  config(): Promise<unknown>;
  weights(): Promise<TensorFile>;
}

async function adapterInFolder(idOrDir: string, hub: HubOptions): Promise<AdapterFiles> {
  const { fileExists, openFile, readJsonFile } = await import('../checkpoint/node_files.js');
  const base = await adapterFolder(idOrDir, hub);
  return {
    base,
    config: () => readJsonFile(`${base}/${ADAPTER_CONFIG}`),
    async weights() {
      const path = `${base}/${ADAPTER_WEIGHTS}`;
      const old = `${base}/${OLD_WEIGHTS}`;
      if (!(await fileExists(path)) && (await fileExists(old))) {
        return openPyTorchBin(await openFile(old));
      }
      return openSafetensors(await openFile(path));
    },
  };
}

/** The folder that is named, or the one that a hub id is downloaded into. */
export async function adapterFolder(idOrDir: string, hub: HubOptions = {}): Promise<string> {
  const { folderExists } = await import('../checkpoint/node_files.js');
  const { downloadFromHub } = await import('../checkpoint/hub.js');
  if (await folderExists(idOrDir)) return idOrDir.replace(/(.)\/+$/, '$1');
  if (!isRepoId(idOrDir)) {
    throw new CheckpointError(
      `${idOrDir}: expected the folder of a LoRA adapter or an id of the Hugging Face hub (owner/name), ` +
        'found neither',
    );
  }
  return downloadFromHub(idOrDir, adapterFiles, hub);
}

function adapterFiles(names: readonly string[], where: string): string[] {
  const weights = [ADAPTER_WEIGHTS, OLD_WEIGHTS].find((name) => names.includes(name));
  if (weights !== undefined && names.includes(ADAPTER_CONFIG)) return [ADAPTER_CONFIG, weights];
  throw new CheckpointError(
    `${where}: expected a LoRA adapter, with ${ADAPTER_CONFIG} and ${ADAPTER_WEIGHTS} or ${OLD_WEIGHTS}`,
  );
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
    weights: async () => openSafetensors(await urlSource(folder.url(ADAPTER_WEIGHTS), folder)),
  };
}
