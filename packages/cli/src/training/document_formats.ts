// The formats of a file of training documents.

/** Formats of a training file. */
export const DOCUMENT_FORMATS = ['auto', 'text', 'jsonl', 'json', 'csv', 'parquet'] as const;

/** The name of one of them; 'auto' goes by the extension and the content of the file. */
export type DocumentFormat = (typeof DOCUMENT_FORMATS)[number];
