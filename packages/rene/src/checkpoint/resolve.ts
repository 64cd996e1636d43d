// What a user calls a model — a folder, a hub id — to a folder that holds it.
import { fileURLToPath } from 'node:url';
import { CheckpointError, HubError, TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';
import { readMlxMetadata } from './checkpoint.js';
import { downloadFromHub, type FileChoice, type HubOptions, isRepoId } from './hub.js';
import { fileExists, folderExists, readJsonFile } from './node_files.js';

/** The small model that comes with the package, by its name. */
export const EMBEDDED_MODEL = 'rene-tiny';

const embeddedFolder = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

/**
 * The folder of a model: the one that is named, or the one into which it is downloaded.
 *
 * @param idOrDir a folder, a hub id such as `cartesia-ai/Rene-v0.1-1.3b-pytorch`, or `rene-tiny`.
 * @throws CheckpointError when it is neither, HubError when it cannot be downloaded.
 */
export async function resolveModel(idOrDir: string, options: HubOptions = {}): Promise<string> {
  if (await folderExists(idOrDir)) return idOrDir;
  if (idOrDir === EMBEDDED_MODEL) return embeddedFolder;
  if (!isRepoId(idOrDir)) {
    throw new CheckpointError(
      `${idOrDir}: no such folder, not '${EMBEDDED_MODEL}' (the model that is included), and no id of ` +
        'the Hugging Face hub (owner/name)',
    );
  }
  return downloadFromHub(idOrDir, modelFiles, options).catch((error: unknown) => {
    throw orNoFolder(error, idOrDir, 'folder');
  });
}

/** What the hub does not know may have been meant as a path. */
function orNoFolder(error: unknown, id: string, kind: string): unknown {
  if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) return error;
  const { message, status } = error;
  return new HubError(`${id}: no such ${kind}, and the hub says: ${message}`, {
    cause: error,
    status,
  });
}

/**
 * The tokenizer.json of a model or tokenizer: of a file, a folder or a hub id. For a Rene or
 * state-spaces model without one it is that of its authors' tokenizer, which onNotice is told.
 *
 * @throws TokenizerError when there is none, HubError when it cannot be downloaded.
 */
export async function resolveTokenizer(
  idOrPath: string,
  options: HubOptions = {},
): Promise<string> {
  if (await fileExists(idOrPath)) return idOrPath;
  if (idOrPath === EMBEDDED_MODEL) return `${embeddedFolder}/tokenizer.json`;
  const isFolder = await folderExists(idOrPath);
  if (!isFolder && !isRepoId(idOrPath)) {
    throw new TokenizerError(
      `${idOrPath}: no such file or folder, and no id of the Hugging Face hub (owner/name)`,
    );
  }
  const dir = isFolder
    ? idOrPath
    : await downloadFromHub(idOrPath, tokenizerFiles, options).catch((error: unknown) => {
        throw orNoFolder(error, idOrPath, 'file or folder');
      });
  if (await fileExists(`${dir}/tokenizer.json`)) return `${dir}/tokenizer.json`;
  const standard =
    (await authorsTokenizer(dir)) ?? (isFolder ? undefined : ownersTokenizer(idOrPath));
  if (standard === undefined) {
    throw new TokenizerError(`${idOrPath}: it has no tokenizer.json; name a tokenizer`);
  }
  options.onNotice?.(`${idOrPath} has no tokenizer; using that of ${standard}`);
  // The revision was the model's.
  const other = await downloadFromHub(standard, onlyTokenizerFiles, {
    ...options,
    revision: undefined,
  }).catch((error: unknown) => {
    if (!(error instanceof HubError)) throw error;
    throw new TokenizerError(
      `${idOrPath}: it has no tokenizer.json, and its authors' tokenizer could not be had; ` +
        `name another one. ${error.message}`,
      { cause: error },
    );
  });
  return `${other}/tokenizer.json`;
}

/** Models are published without a tokenizer; these are what they were trained with. */
const OLMO = { id: 'allenai/OLMo-1B-hf', vocabSize: 50280 };
const GPT_NEOX = { id: 'EleutherAI/gpt-neox-20b', vocabSize: 50277 };

/** The tokenizer that belongs to a model folder, by what its configuration says. */
async function authorsTokenizer(dir: string): Promise<string | undefined> {
  const mlx = await readMlxMetadata(dir);
  const named = /^"([^"]+)"$/.exec(mlx?.get('tokenizer.name') ?? '')?.[1];
  if (named !== undefined && isRepoId(named)) return named;
  if (mlx) return OLMO.id;
  const path = `${dir}/config.json`;
  if (!(await fileExists(path))) return undefined;
  const { model_type: type, vocab_size: size } = asRecord(await readJsonFile(path)) ?? {};
  const { id, vocabSize } = type === undefined ? GPT_NEOX : OLMO;
  return typeof size === 'number' && size >= vocabSize ? id : undefined;
}

/** That of a hub id whose repository has neither tokenizer nor configuration. */
function ownersTokenizer(id: string): string | undefined {
  if (id.startsWith('cartesia-ai/')) return OLMO.id;
  return id.startsWith('state-spaces/') ? GPT_NEOX.id : undefined;
}

/** A tokenizer, and what names its special tokens. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
];

/** config.json, the weights in the best format there is, and the tokenizer if there is one. */
export const modelFiles: FileChoice = (names, where) => {
  const weights = weightFiles(names);
  if (weights.length === 0) {
    throw new HubError(`${where}: it has neither model.safetensors nor pytorch_model.bin`);
  }
  const others = ['config.json', ...TOKENIZER_FILES].filter((name) => names.includes(name));
  return [...others, ...weights];
};

function weightFiles(names: readonly string[]): string[] {
  for (const whole of ['model.safetensors', 'pytorch_model.bin']) {
    if (names.includes(whole)) return [whole];
    // It names the shards.
    const index = `${whole}.index.json`;
    if (names.includes(index)) return [index];
  }
  return [];
}

/** A tokenizer, or the config of a model from which its usual tokenizer is known. */
const tokenizerFiles: FileChoice = (names) => {
  const wanted = names.includes('tokenizer.json') ? TOKENIZER_FILES : ['config.json'];
  return wanted.filter((name) => names.includes(name));
};

const onlyTokenizerFiles: FileChoice = (names, where) => {
  if (names.includes('tokenizer.json')) return TOKENIZER_FILES.filter((n) => names.includes(n));
  throw new HubError(`${where}: it has no tokenizer.json`);
};
