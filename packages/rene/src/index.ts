/**
 * The Rene language model, from a checkpoint to text, and its training.
 *
 * @module @rene-js/rene
 */
export * from './inference.js';
export * from './training/index.js';
