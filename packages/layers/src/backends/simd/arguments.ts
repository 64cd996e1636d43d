// A job's arguments by name. The enums of assembly/*/args.ts number the words for both sides.

/** The words of the next job's arguments, as integers and as numbers. */
export interface ArgumentWords {
  readonly args: Int32Array;
  readonly numbers: Float32Array;
}

export class ArgumentLayout<Name extends string> {
  private readonly words: readonly (readonly [name: Name, word: number, isFloat: boolean])[];

  /**
   * @param words an enum of assembly/
   * @param floats the words that are f32; the others are integers
   */
  constructor(words: Readonly<Record<Name, number>>, floats: readonly NoInfer<Name>[] = []) {
    const names = Object.keys(words).filter((key): key is Name => Number.isNaN(Number(key)));
    this.words = names.map((name) => [name, words[name], floats.includes(name)]);
  }

  /** Sets all of its words; true is 1. */
  write({ args, numbers }: ArgumentWords, values: Readonly<Record<Name, number | boolean>>): void {
    for (const [name, word, isFloat] of this.words) {
      (isFloat ? numbers : args)[word] = Number(values[name]);
    }
  }
}
