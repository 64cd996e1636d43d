// Hybrids' checkpoints as mlx-lm writes them: other layouts and names, and Falcon-H1's multipliers in the weights.
import { joined } from '../architectures/derived_parameters.js';
import { asRecord } from '../json.js';
import type { Checkpoint } from './checkpoint.js';

/** Whether convolutions have MLX's layout (channels, width, 1). mlx-lm itself recognises its files by it. */
function hasMlxLayout({ names, info }: Checkpoint): boolean {
  const convolution = names.find((name) => name.endsWith('.conv1d.weight'));
  if (convolution === undefined) return false;
  const [, inner = 1, last] = info(convolution).shape;
  return last === 1 && inner > 1;
}

/** Presents a checkpoint of mlx-lm with the original's names and shapes; others are unchanged. */
export function fromMlxLm(inner: Checkpoint, config: unknown): Checkpoint {
  const isGranite = asRecord(config)?.model_type === 'granitemoehybrid';
  const renamed = isGranite ? graniteCheckpoint(inner) : inner;
  if (!hasMlxLayout(inner)) return renamed;
  return {
    ...renamed,
    isMlxLm: true,
    info(name) {
      const info = renamed.info(name);
      const [channels = 0, width = 0] = info.shape;
      return name.endsWith('.conv1d.weight') ? { ...info, shape: [channels, 1, width] } : info;
    },
  };
}

/** Granite's MLP: gate_proj and up_proj are the halves of the original's input_linear. */
function graniteCheckpoint(inner: Checkpoint): Checkpoint {
  const parts = new Map<string, readonly string[]>();
  for (const name of inner.names) {
    const [, layer, part] = /^(.*\.)mlp\.(gate|down)_proj\.weight$/.exec(name) ?? [];
    if (part === 'gate') {
      const halves = [name, `${layer}mlp.up_proj.weight`];
      parts.set(`${layer}shared_mlp.input_linear.weight`, halves);
    } else if (part === 'down') parts.set(`${layer}shared_mlp.output_linear.weight`, [name]);
  }
  if (parts.size === 0) return inner;
  const used = new Set([...parts.values()].flat());
  const names = [...inner.names.filter((name) => !used.has(name)), ...parts.keys()];
  const rowsOf = (name: string) => inner.info(name).shape[0] ?? 0;
  return {
    ...inner,
    names,
    has: (name) => parts.has(name) || (inner.has(name) && !used.has(name)),
    info(name) {
      const own = parts.get(name);
      if (!own) return inner.info(name);
      const [first = name] = own;
      const { dtype, shape } = inner.info(first);
      const rows = own.reduce((sum, part) => sum + rowsOf(part), 0);
      return { dtype, shape: [rows, ...shape.slice(1)] };
    },
    storedMatrix(name) {
      const own = parts.get(name);
      if (!own) return inner.storedMatrix(name);
      return joined(
        own.map((part) => ({
          tensor: part,
          first: 0,
          rows: rowsOf(part),
          scale: 1,
          matrix: inner.storedMatrix(part),
        })),
      );
    },
  };
}

/**
 * The config.json that fits the weights. mlx-lm multiplies Falcon-H1's weights by the multipliers, but for that of
 * the keys: its conversion looks for another name.
 */
export function configOfMlxLm(
  json: unknown,
  checkpoint: Checkpoint,
  onNotice: (notice: string) => void = () => {},
): unknown {
  const config = asRecord(json);
  if (config?.model_type !== 'falcon_h1' || !checkpoint.isMlxLm) return json;
  if ((config.key_multiplier ?? 1) !== 1) {
    onNotice(
      `${checkpoint.path}: taken as written by an mlx-lm that leaves key_multiplier out of the weights; ` +
        'if yours includes it, set key_multiplier to 1 in config.json',
    );
  }
  const [embedding, head] = [config.embedding_multiplier ?? 1, config.lm_head_multiplier ?? 1];
  const tied = config.tie_word_embeddings === true;
  return {
    ...config,
    embedding_multiplier: 1,
    lm_head_multiplier: tied ? Number(head) / Number(embedding) : 1,
    attention_in_multiplier: 1,
    // Queries and keys include it; values do not.
    attention_out_multiplier: config.attention_in_multiplier ?? 1,
    ssm_in_multiplier: 1,
    ssm_multipliers: [1, 1, 1, 1, 1],
    ssm_out_multiplier: 1,
    mlp_multipliers: [1, 1],
  };
}
