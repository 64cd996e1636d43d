// @rene-js/rene: the Rene language model, from a checkpoint to text, and its training.
export * from './inference.js';
export * from './training/index.js';
