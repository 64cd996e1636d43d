/**
 * Shared by the packages of this project. May change at any time: use `@rene-js/rene` instead.
 *
 * @internal
 * @module @rene-js/rene/internal
 */

export { nextTurn } from '@rene-js/layers/internal';
export { anySignal } from './any_signal.js';
export { makeModelParameters } from './architectures/derived_parameters.js';
export type { HybridConfig } from './architectures/hybrid_config.js';
export {
  architectureOf,
  blueprintOf,
  modelConfigToJson,
  modelParameters,
} from './architectures/index.js';
export type { Checkpoint } from './checkpoint/checkpoint.js';
export { companionFiles, convertCheckpoint } from './checkpoint/convert.js';
export { hubCacheDir, RepoCache } from './checkpoint/hub_cache.js';
export {
  type HubClient,
  type HubClientOptions,
  hubClient,
  isOffline,
} from './checkpoint/hub_client.js';
export { fetchFile } from './checkpoint/hub_files.js';
export { loadParameters } from './checkpoint/load_parameters.js';
export { withLock } from './checkpoint/lock.js';
export { makeFolder } from './checkpoint/make_folder.js';
export { EMBEDDED_MODEL } from './checkpoint/model_names.js';
export {
  fileExists,
  folderExists,
  openFile,
  readJsonFile,
  readTextFile,
  writeFileAtomically,
} from './checkpoint/node_files.js';
export { openCheckpoint } from './checkpoint/open_checkpoint.js';
export { openModelFolder } from './checkpoint/open_model_folder.js';
export { resolveModel, resolveTokenizer, TOKENIZER_FILES } from './checkpoint/resolve.js';
export { openSafetensors, writeSafetensors } from './checkpoint/safetensors.js';
export { saveCheckpoint } from './checkpoint/save_checkpoint.js';
export { readF32, readI32, type TensorFile } from './checkpoint/tensor_file.js';
export { isSameFolder, writeFolder } from './checkpoint/write_folder.js';
export { layerKinds } from './config.js';
export { configToJson } from './config_json.js';
export { STORED_DTYPES, WEIGHT_FORMATS, weightFormatOrAuto } from './dtype_names.js';
export { ReneError } from './errors.js';
export { fileError } from './file_errors.js';
export { Batch, type NextToken } from './generation/batch.js';
export { PREFILL_CHUNK, type PrefilledPart, prefillParts } from './generation/prefill.js';
export {
  isStored,
  lastStored,
  nextStop,
  PrefixCache,
  type StoragePlan,
} from './generation/prefix_cache.js';
export { PrefixFiles } from './generation/prefix_files.js';
export { generateReference } from './generation/reference.js';
export { samplingProbabilities } from './generation/reference_sampling.js';
export { type GenerationConfig, resolveOptions } from './generation/resolve_options.js';
export { greedyParams, Sampler, SamplerBuffers } from './generation/sampler.js';
export { Sequence } from './generation/sequence.js';
export { StopStringFilter } from './generation/stopping.js';
export { argmax } from './generation/token_distribution.js';
export { toHost } from './host_state.js';
export { asRecord, parseJson, stringifyJson } from './json.js';
export { type AdaptedModelOptions, loadAdaptedModel } from './lora/adapted_model.js';
export { adapterFolder } from './lora/adapter_folder.js';
export { changedParameters } from './lora/changed_parameters.js';
export { openAdapter } from './lora/open_adapter.js';
export { nextTokenLoss } from './loss.js';
export { formatRate, formatSeconds } from './rate.js';
export { rowsThatFit } from './rows_that_fit.js';
export { countParameters, summarize } from './summary.js';
export { systemCode, systemReason } from './system_errors.js';
export { vocabularyNotice } from './tokenizer/vocabulary_notice.js';
export { withRunFolder } from './training/run_folder.js';
export { isParquet, readLines, readText } from './training/text_encoding.js';
export { checkRows } from './training/trainer.js';
export { withDefaults } from './training/training_settings.js';
export { packageVersion } from './version.js';
