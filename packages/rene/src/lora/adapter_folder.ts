// A LoRA adapter in a local folder or on the hub. Node only; package.json excludes it from pages.
import { pathOf } from '../checkpoint/file_url.js';
import { downloadFromHub, type HubOptions } from '../checkpoint/hub.js';
import { isRepoId } from '../checkpoint/model_names.js';
import { orNoFolder, refuseFile } from '../checkpoint/no_folder.js';
import { fileExists, folderExists, openFile, readJsonFile } from '../checkpoint/node_files.js';
import { openPyTorchBin } from '../checkpoint/pytorch_bin.js';
import { openSafetensors } from '../checkpoint/safetensors.js';
import { CheckpointError } from '../errors.js';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  type AdapterFiles,
  OLD_ADAPTER_WEIGHTS,
} from './adapter_files.js';

const ADAPTER = `a LoRA adapter, with ${ADAPTER_CONFIG} and ${ADAPTER_WEIGHTS} or ${OLD_ADAPTER_WEIGHTS}`;

/** The files of an adapter in a folder or on the hub. */
export async function adapterInFolder(
  idOrDir: string | URL,
  hub: HubOptions,
): Promise<AdapterFiles> {
  const base = await adapterFolder(idOrDir, hub);
  return {
    base,
    config: () => readJsonFile(`${base}/${ADAPTER_CONFIG}`, ADAPTER),
    async weights() {
      const path = `${base}/${ADAPTER_WEIGHTS}`;
      const old = `${base}/${OLD_ADAPTER_WEIGHTS}`;
      if (!(await fileExists(path)) && (await fileExists(old))) {
        return openPyTorchBin(await openFile(old));
      }
      return openSafetensors(await openFile(path));
    },
  };
}

/** A local folder, or the folder of a downloaded hub id. */
export async function adapterFolder(name: string | URL, hub: HubOptions = {}): Promise<string> {
  const idOrDir = pathOf(name, "a LoRA adapter's folder, file URL, http(s) URL or hub id");
  if (await folderExists(idOrDir)) return idOrDir.replace(/(.)\/+$/, '$1');
  await refuseFile(idOrDir, 'a LoRA adapter');
  if (!isRepoId(idOrDir)) {
    throw new CheckpointError(
      `${idOrDir}: expected the folder of a LoRA adapter or an id of the Hugging Face hub (owner/name), ` +
        'found neither',
    );
  }
  return downloadFromHub(idOrDir, adapterFiles, hub).catch((error: unknown) => {
    throw orNoFolder(error, idOrDir, 'folder');
  });
}

/** The adapter's files in a repository. */
function adapterFiles(names: readonly string[], where: string): string[] {
  const weights = [ADAPTER_WEIGHTS, OLD_ADAPTER_WEIGHTS].find((name) => names.includes(name));
  if (weights !== undefined && names.includes(ADAPTER_CONFIG)) return [ADAPTER_CONFIG, weights];
  throw new CheckpointError(`${where}: expected ${ADAPTER}`);
}
