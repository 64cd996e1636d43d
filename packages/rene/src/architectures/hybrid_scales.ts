// Where the multipliers of a hybrid go. Norms, convolutions, biases and softmax scales take them if possible:
// these are f32, so that matrices of 16 or fewer bits stay as they are. Output matrices have none: the
// residual stream is divided by their multiplier instead.
import type { AttentionBlock, HybridBlock, HybridConfig } from './hybrid_config.js';

/** The factors of a block. */
export interface BlockScales {
  /** Of the norm that the block reads. Parallel blocks share it. */
  readonly norm: number;
  /** The block adds to the original's stream divided by this number. */
  readonly stream: number;
  /** Of what the block adds: of the inner norm and the output's bias. */
  readonly output: number;
}

/** The factors of all blocks, by layer. */
export function layerScales({ layers, residualScale }: HybridConfig): BlockScales[][] {
  let stream: number | undefined;
  return layers.map((layer) => {
    let norm = 1;
    return layer.map((block) => {
      if (!block.isParallel) norm = normScale(block);
      const { outScale = 1 } = block;
      // An inner norm takes the multiplier, so that any division of the stream fits.
      stream = hasInnerNorm(block)
        ? (stream ?? residualScale)
        : residualScale * outScale * inputScale(block, norm);
      return { norm, stream, output: (residualScale * outScale) / stream };
    });
  });
}

/** Whether a norm right before the output matrix can take a factor. */
function hasInnerNorm(block: HybridBlock): boolean {
  return block.kind === 'ssd' && (block.sizes.rmsNorm ?? true);
}

/** The factor of a block's norm. */
function normScale(block: HybridBlock): number {
  switch (block.kind) {
    case 'ssd':
      return (block.inScale ?? 1) * (block.sectionScales?.[0] ?? 1);
    case 'attn':
      return 1;
    case 'mlp':
      return block.gateScale ?? 1;
  }
}

/** What the output still lacks of the input's multiplier, since the norm has another factor. */
function inputScale(block: HybridBlock, norm: number): number {
  switch (block.kind) {
    case 'ssd':
      return 1;
    case 'attn':
      return attentionInput(block, norm);
    case 'mlp':
      // What the activation is multiplied by has the norm's factor too.
      return block.names.up === undefined ? 1 : 1 / norm;
  }
}

/** Factor of attention's input, apart from the norm's. It scales scores twice and values once. */
export function attentionInput({ inScale = 1 }: AttentionBlock, norm: number): number {
  return inScale / norm;
}
