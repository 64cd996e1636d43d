// Drafts by a small model of the same vocabulary.
import type { RecurrentState } from '../state.js';
import type { DraftModel } from './draft_model.js';
import type { Drafter } from './drafter.js';
import { forwardLogits } from './generation_model.js';
import { prefillParts } from './prefill.js';
import { argmax } from './token_distribution.js';

/** Greedy continuations of a model. */
export class AssistantDrafter implements Drafter {
  /** After the first `seen` tokens, which the sequence keeps. */
  private state: RecurrentState | undefined;
  private seen = 0;

  constructor(
    private readonly model: DraftModel,
    private readonly vocabSize: number,
  ) {}

  kindOf(): number {
    return 0;
  }

  async propose(ids: readonly number[], most: number): Promise<readonly number[]> {
    this.state ??= this.model.initialState(1);
    let logits: Float32Array | undefined;
    const unseen = ids.slice(this.seen);
    for await (const part of prefillParts(this.model, this.state, unseen)) {
      logits = part.logits.at(-1);
    }
    this.seen = ids.length;
    const ahead = this.state.clone();
    try {
      const tokens: number[] = [];
      while (logits) {
        const token = argmax(logits.subarray(0, this.vocabSize));
        if (token < 0) break;
        tokens.push(token);
        if (tokens.length === most) break;
        [logits] = await forwardLogits(this.model, [[token]], {
          state: ahead,
          logitsToKeep: 1,
        });
      }
      return tokens;
    } finally {
      ahead.dispose();
    }
  }

  dispose(): void {
    this.state?.dispose();
    this.state = undefined;
  }
}
