// The seeds of lm-evaluation-harness.

/** The harness's seed for few-shot examples. */
export const DEFAULT_FEWSHOT_SEED = 1234;

/** The four seeds of the harness; null where there is none. */
export type Seeds = readonly [number | null, number | null, number | null, number | null];

export const DEFAULT_SEEDS: Seeds = [0, 1234, 1234, DEFAULT_FEWSHOT_SEED];
