// Writes a job's arguments by name. The enums in assembly/*/args.ts define the layout for both sides.

/** The argument words of the next job, as integers and as floats. */
export interface ArgumentWords {
  readonly args: Int32Array;
  readonly numbers: Float32Array;
}

type Words<Name extends string> = { readonly [N in Name]: number | boolean };

export class ArgumentLayout<Name extends string> {
  private readonly words: readonly (readonly [name: Name, word: number, isFloat: boolean])[];

  /**
   * @param words an enum of assembly/
   * @param floats names of the f32 words; the others are integers
   */
  constructor(words: Readonly<Record<Name, number>>, floats: readonly NoInfer<Name>[] = []) {
    const names = Object.keys(words).filter((key): key is Name => Number.isNaN(Number(key)));
    this.words = names.map((name) => [name, words[name], floats.includes(name)]);
  }

  /**
   * Writes all words; true is 1. `more` has the words that `values` lacks or has otherwise: an object spread
   * into another takes microseconds in Node 20.
   */
  write<More extends Name = never>(
    { args, numbers }: ArgumentWords,
    values: Words<Exclude<Name, More>>,
    more?: Words<More>,
  ): void {
    const own: Words<string> = more ?? {};
    const others: Words<string> = values;
    for (const [name, word, isFloat] of this.words) {
      (isFloat ? numbers : args)[word] = Number(own[name] ?? others[name]);
    }
  }
}
