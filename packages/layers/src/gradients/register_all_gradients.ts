// Registers the gradients of all custom kernels with tfjs. They are the same on every backend.
import './core_ops.js';
import './causal_conv1d.js';
import './cross_entropy.js';
import './embedding_lookup.js';
import './gated_activation.js';
import './gated_rms_norm.js';
import './mixers.js';
import './packed_matmul.js';
import './rms_norm.js';
import './sliding_window_attention.js';
import './ssd_scan.js';
