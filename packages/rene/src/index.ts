// @rene-js/rene: the Rene language model, from a checkpoint to text.
export {
  type AttnConfig,
  type MlpConfig,
  parseConfig,
  type ReneConfig,
  type ReneConfigOptions,
  readConfig,
  reneConfig,
  reneConfig1_3B,
  type SsmConfig,
} from './config.js';
export * from './errors.js';
export { type ForwardOptions, type ModelOptions, ReneLMHeadModel } from './model.js';
export { RecurrentState } from './state.js';
export * from './training/index.js';
