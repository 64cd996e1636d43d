/**
 * Training documents from files, and a progress bar: what `rene train` adds to `@rene-js/rene/training`.
 *
 * @module @rene-js/cli/training
 */

export type { DocumentFormat } from './document_formats.js';
export { type TrainingProgress, trainingProgress } from './progress_bar.js';
export { type ReadDocumentsOptions, readDocuments } from './read_documents.js';
