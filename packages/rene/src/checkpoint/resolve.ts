// Resolves a model's name (a folder or a hub id) to a folder.
import { fileURLToPath } from 'node:url';
import { CheckpointError, HubError, TokenizerError } from '../errors.js';
import { authorsTokenizer, ownersTokenizer } from './authors_tokenizer.js';
import { pathOf } from './file_url.js';
import { downloadFromHub, type FileChoice, type HubOptions } from './hub.js';
import { EMBEDDED_MODEL, isRepoId } from './model_names.js';
import { orNoFolder, refuseFile } from './no_folder.js';
import { fileExists, folderExists, readJsonFile } from './node_files.js';
import { readMlxMetadata } from './open_checkpoint.js';

const embeddedFolder = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

/**
 * The folder of a model, downloaded if necessary.
 *
 * @param name a folder or its file URL, a hub id such as `cartesia-ai/Rene-v0.1-1.3b-pytorch`, or
 *   `rene-tiny`
 * @throws CheckpointError if it is neither, HubError if it cannot be downloaded
 */
export async function resolveModel(name: string | URL, options: HubOptions = {}): Promise<string> {
  const idOrDir = pathOf(name, 'a model folder, a file URL or a hub id (owner/name)');
  if (await folderExists(idOrDir)) return idOrDir;
  await refuseFile(idOrDir, 'a model');
  if (idOrDir === EMBEDDED_MODEL) return embeddedFolder;
  if (!isRepoId(idOrDir)) {
    throw new CheckpointError(
      `${idOrDir}: no such folder; expected a model folder, '${EMBEDDED_MODEL}' (the included model) or a ` +
        'hub id (owner/name)',
    );
  }
  return downloadFromHub(idOrDir, modelFiles, options).catch((error: unknown) => {
    throw orNoFolder(error, idOrDir, 'folder');
  });
}

const SPECIFY_ONE = 'specify a tokenizer.json, a folder with one, or a hub id';

/**
 * The tokenizer.json of a model or tokenizer: of a file, a folder or a hub id. For a Rene or state-spaces
 * model without one it is its authors' tokenizer, and onNotice is called.
 *
 * @throws TokenizerError if there is none, HubError if it cannot be downloaded
 */
export async function resolveTokenizer(
  name: string | URL,
  options: HubOptions = {},
): Promise<string> {
  const idOrPath = pathOf(name, 'a tokenizer.json, a folder, a file URL or a hub id (owner/name)');
  if (await fileExists(idOrPath)) return idOrPath;
  if (idOrPath === EMBEDDED_MODEL) return `${embeddedFolder}/tokenizer.json`;
  const isFolder = await folderExists(idOrPath);
  if (!isFolder && !isRepoId(idOrPath)) {
    throw new TokenizerError(
      `${idOrPath}: no such file or folder; expected a tokenizer or a hub id (owner/name)`,
    );
  }
  const dir = isFolder
    ? idOrPath
    : await downloadFromHub(idOrPath, tokenizerFiles, options).catch((error: unknown) => {
        throw orNoFolder(error, idOrPath, 'file or folder');
      });
  if (await fileExists(`${dir}/tokenizer.json`)) return `${dir}/tokenizer.json`;
  const standard = (await tokenizerOf(dir)) ?? (isFolder ? undefined : ownersTokenizer(idOrPath));
  if (standard === undefined) {
    throw new TokenizerError(`${idOrPath}: it has no tokenizer.json; ${SPECIFY_ONE}`);
  }
  options.onNotice?.(`${idOrPath} has no tokenizer; using that of ${standard}`);
  // The revision belongs to the model.
  const other = await downloadFromHub(standard, onlyTokenizerFiles, {
    ...options,
    revision: undefined,
  }).catch((error: unknown) => {
    if (!(error instanceof HubError)) throw error;
    throw new TokenizerError(
      `${idOrPath}: it has no tokenizer.json, and its authors' tokenizer cannot be loaded ` +
        `(${error.message}); ${SPECIFY_ONE}`,
      { cause: error },
    );
  });
  return `${other}/tokenizer.json`;
}

/** The tokenizer of a model folder, according to its files. */
async function tokenizerOf(dir: string): Promise<string | undefined> {
  const path = `${dir}/config.json`;
  const config = (await fileExists(path)) ? await readJsonFile(path) : undefined;
  return authorsTokenizer(config, await readMlxMetadata(dir));
}

/** A tokenizer, the files that name its special tokens, and its chat template. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** config.json, the weights in the preferred format, and the tokenizer if there is one. */
const modelFiles: FileChoice = (names, where) => {
  const weights = weightFiles(names);
  if (weights.length === 0) {
    throw new HubError(`${where}: it has neither model.safetensors nor pytorch_model.bin`);
  }
  const others = ['config.json', 'generation_config.json', ...TOKENIZER_FILES].filter((name) =>
    names.includes(name),
  );
  return [...others, ...weights];
};

function weightFiles(names: readonly string[]): string[] {
  for (const whole of ['model.safetensors', 'pytorch_model.bin']) {
    if (names.includes(whole)) return [whole];
    // It lists the shards.
    const index = `${whole}.index.json`;
    if (names.includes(index)) return [index];
  }
  return [];
}

/** A tokenizer, or the config of a model with a known tokenizer. */
const tokenizerFiles: FileChoice = (names) => {
  const wanted = names.includes('tokenizer.json') ? TOKENIZER_FILES : ['config.json'];
  return wanted.filter((name) => names.includes(name));
};

const onlyTokenizerFiles: FileChoice = (names, where) => {
  if (names.includes('tokenizer.json')) return TOKENIZER_FILES.filter((n) => names.includes(n));
  throw new HubError(`${where}: it has no tokenizer.json`);
};
