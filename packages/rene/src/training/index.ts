/**
 * Training and fine-tuning: tokenizer training, data, loss, optimiser, trainer and LoRA.
 *
 * @module @rene-js/rene/training
 */
export { AdamW, type AdamWOptions } from './adamw.js';
export { type BpeOptions, type BpeVocabulary, tokenizerJson, trainBpe } from './bpe_trainer.js';
export { type Evaluation, evaluate } from './evaluate.js';
export { type LossAndGradients, lossAndGradients } from './gradients.js';
export { LoraAdapter, type LoraOptions } from './lora.js';
export { type TokenizerWithFiles, tokenize, tokenizerFor } from './text_files.js';
export { tinyConfig } from './tiny_config.js';
export {
  encodeDocuments,
  splitTexts,
  type TokenDocuments,
} from './token_dataset.js';
export { type TrainableModel, type TrainReport, train } from './trainer.js';
export { TrainingError } from './training_error.js';
export type { StepReport, TrainOptions } from './training_settings.js';
