// Opens a base model with an adapter as one model.
import type { HubOptions } from '../checkpoint/hub.js';
import type { OpenModel } from '../checkpoint/url_model.js';
import { adaptedConfig, correctedCheckpoint } from './corrected_checkpoint.js';
import { openAdapter } from './open_adapter.js';

/**
 * Opens an adapter over an open model. Closing the checkpoint closes both.
 *
 * @param lora a folder, a hub id, or a URL
 * @throws CheckpointError, HubError; the model stays open
 */
export async function withAdapter(
  base: OpenModel,
  lora: string | URL,
  hub: HubOptions,
): Promise<OpenModel> {
  const { config, checkpoint } = base;
  // The revision belongs to the model.
  const adapter = await openAdapter(lora, config, { ...hub, revision: undefined });
  const corrected = correctedCheckpoint(checkpoint, adapter, config);
  return {
    ...base,
    config: adaptedConfig(config, adapter),
    checkpoint: {
      ...corrected,
      async close() {
        await adapter.close();
        await checkpoint.close();
      },
    },
  };
}
