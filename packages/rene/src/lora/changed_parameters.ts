// The parameters of a model's layers that adapters change.
import type { LayerParameter } from '../architectures/blueprint.js';
import { blueprintOf } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import type { Adapter } from './adapter_file.js';
import { adaptedConfig } from './corrected_checkpoint.js';

/**
 * @param config of the model without an adapter
 * @param adapter the adapter in use. If it changes a tied head or embedding, the head is one of the changed
 *   parameters.
 * @param others adapters whose changes count too
 */
export function changedParameters(
  config: ModelConfig,
  adapter: Adapter,
  others: readonly Adapter[] = [],
): readonly Pick<LayerParameter, 'name' | 'shape' | 'kind'>[] {
  const adapted = adaptedConfig(config, adapter);
  const { tensors, parameters } = blueprintOf(adapted);
  const changed = new Set(
    [adapter, ...others].flatMap(({ corrections, replaced, addedBiases }) => [
      ...corrections.keys(),
      ...replaced,
      ...addedBiases.keys(),
    ]),
  );
  if (config.tieWordEmbeddings && !adapted.tieWordEmbeddings) changed.add('lm_head.weight');
  if (!parameters) return tensors.filter(({ name }) => changed.has(name));
  return parameters.filter(({ slices }) => slices.some(({ tensor }) => changed.has(tensor)));
}
