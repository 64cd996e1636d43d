/**
 * What the command line needs before it loads a model. Nothing here loads TensorFlow.js.
 *
 * @internal
 * @module @rene-js/rene/internal/startup
 */
export { InvalidArgumentError } from '@rene-js/layers/errors';
export { WEIGHT_FORMATS, weightFormatOrAuto } from './dtype_names.js';
export { FileError, ReneError } from './errors.js';
export { asRecord, parseJson } from './json.js';
export { systemCode, systemReason } from './system_errors.js';
export { packageVersion } from './version.js';
