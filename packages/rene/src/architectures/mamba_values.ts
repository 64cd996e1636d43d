// The `mamba_*` keys that Granite, Falcon-H1 and Bamba share.
import type { ConfigValues } from './config_values.js';
import type { Mamba2Block } from './hybrid_config.js';

/**
 * @param defaults defaults of the family's original code
 * @throws ConfigError
 */
export function mambaSizes(
  values: ConfigValues,
  dModel: number,
  defaults: { heads: number; dState: number; dInner?: number },
): Mamba2Block['sizes'] {
  const expand = values.positive('mamba_expand', 2);
  const dInner = values.size('mamba_d_ssm', defaults.dInner ?? Math.trunc(expand * dModel));
  const heads = values.size('mamba_n_heads', defaults.heads);
  values.checkDivides('mamba_n_heads', heads, dInner, 'the inner channels');
  const isAuto = values.value('mamba_d_head') === 'auto';
  const headDim = isAuto ? dInner / heads : values.size('mamba_d_head', dInner / heads);
  if (headDim * heads !== dInner) {
    const expected = `the inner channels (${dInner}) over mamba_n_heads (${heads})`;
    throw values.error('mamba_d_head', expected, String(headDim));
  }
  const nGroups = values.size('mamba_n_groups', 1);
  values.checkDivides('mamba_n_groups', nGroups, heads, 'mamba_n_heads');
  return {
    dModel,
    dInner,
    headDim,
    nGroups,
    dState: values.size('mamba_d_state', defaults.dState),
    dConv: values.size('mamba_d_conv', 4),
    chunkSize: values.size('mamba_chunk_size', 256),
    convBias: values.flag('mamba_conv_bias', true),
    dtLimit: values.timeStepLimit('time_step_limit'),
  };
}

/** Number of attention heads. @throws ConfigError */
export function attentionSizes(values: ConfigValues, dModel: number, kvHeads?: number) {
  const numHeads = values.size('num_attention_heads', 32);
  const numHeadsKv = values.size('num_key_value_heads', kvHeads ?? numHeads);
  values.checkDivides('num_key_value_heads', numHeadsKv, numHeads, 'num_attention_heads');
  const headDim = values.size('head_dim', Math.floor(dModel / numHeads));
  return { dModel, numHeads, numHeadsKv, headDim, softmaxScale: 1 / Math.sqrt(headDim) };
}
