// The formats of a file of training documents.

/** Formats of a training file. */
export const DOCUMENT_FORMATS = ['auto', 'text', 'jsonl', 'json', 'csv', 'parquet'] as const;

export type DocumentFormat = (typeof DOCUMENT_FORMATS)[number];
