// The model card's table: scores of eleven models and of Rene.
import type { MetricName } from './task.js';

export interface CardColumn {
  /** Task or group. */
  name: string;
  title: string;
  /** The metric of the column. The card does not say; it is inferred from other models' scores. */
  metric: MetricName;
  numFewshot: number;
  /** Number of documents of the evaluated split. */
  documents: number;
}

export const CARD_COLUMNS: readonly CardColumn[] = [
  { name: 'copa', title: 'COPA', metric: 'acc', numFewshot: 0, documents: 100 },
  { name: 'hellaswag', title: 'HellaSwag', metric: 'acc_norm', numFewshot: 0, documents: 10042 },
  { name: 'mmlu', title: 'MMLU (5-shot)', metric: 'acc', numFewshot: 5, documents: 14042 },
  { name: 'piqa', title: 'PIQA', metric: 'acc_norm', numFewshot: 0, documents: 1838 },
  { name: 'arc_easy', title: 'ARC-e', metric: 'acc_norm', numFewshot: 0, documents: 2376 },
  { name: 'arc_challenge', title: 'ARC-c', metric: 'acc_norm', numFewshot: 0, documents: 1172 },
  { name: 'winogrande', title: 'WinoGrande', metric: 'acc', numFewshot: 0, documents: 1267 },
  { name: 'openbookqa', title: 'OpenBookQA', metric: 'acc_norm', numFewshot: 0, documents: 500 },
];

export interface CardRow {
  model: string;
  /** Parameters in 10^9. */
  params: number;
  /** Training tokens in 10^12; null if the card does not state them. */
  trainTokens: number | null;
  /** Per cent, in the order of CARD_COLUMNS. */
  scores: readonly number[];
  average: number;
}

export const RENE_CARD_NAME = 'cartesia-ai/Rene-v0.1-1.3b-pytorch';

export const CARD_ROWS: readonly CardRow[] = [
  row('allenai/OLMo-1B-hf', 1.2, 3.0, [82.0, 62.9, 26.2, 75.1, 57.4, 31.1, 60.0, 36.2], 53.9),
  row('apple/OpenELM-1_1B', 1.1, 1.5, [81.0, 64.8, 27.1, 75.6, 55.4, 32.3, 61.9, 36.2], 54.3),
  row('state-spaces/mamba2-1.3b', 1.3, 0.3, [82.0, 60.0, 25.8, 73.7, 64.2, 33.3, 61.0, 37.8], 54.7),
  row('microsoft/phi-1_5', 1.4, 0.15, [79.0, 62.6, 42.5, 75.5, 73.2, 48.0, 72.8, 48.0], 62.7),
  row('Qwen/Qwen2-1.5B', 1.5, 7.0, [80.0, 65.4, 56.0, 75.5, 60.4, 35.0, 65.8, 36.4], 59.3),
  row('RWKV/rwkv-6-world-1b6', 1.6, 1.1, [84.0, 58.3, 25.9, 73.5, 56.7, 34.1, 60.0, 37.4], 53.7),
  row(
    'stabilityai/stablelm-2-1_6b',
    1.6,
    4.0,
    [86.0, 69.0, 38.1, 76.7, 68.1, 38.9, 63.6, 38.8],
    59.9,
  ),
  row(
    'HuggingFaceTB/SmolLM-1.7B',
    1.7,
    1.0,
    [76.0, 65.8, 29.9, 76.1, 73.5, 46.4, 60.9, 42.0],
    58.8,
  ),
  row(
    'h2oai/h2o-danube2-1.8b-base',
    1.8,
    3.0,
    [82.0, 72.4, 39.9, 77.3, 69.0, 39.9, 63.9, 41.4],
    60.7,
  ),
  row('google/recurrentgemma-2b', 2.7, 2.0, [62.0, 61.8, 32.3, 68.8, 46.4, 29.9, 57.1, 29.0], 48.4),
  row(
    'cognitivecomputations/TinyDolphin-2.8.1-1.1b',
    1.1,
    null,
    [71.0, 59.9, 25.7, 73.1, 55.8, 33.0, 59.7, 36.6],
    51.9,
  ),
  row(RENE_CARD_NAME, 1.3, 1.5, [82.0, 69.4, 32.6, 77.5, 61.7, 34.4, 62.9, 39.2], 57.5),
];

function row(
  model: string,
  params: number,
  trainTokens: number | null,
  scores: readonly number[],
  average: number,
): CardRow {
  return { model, params, trainTokens, scores, average };
}
