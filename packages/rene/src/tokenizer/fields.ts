// Typed access to the fields of a tokenizer.json.
import { TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';

/** An object of the file. Each method throws a TokenizerError that names the field. */
export class Fields {
  private readonly values: Record<string, unknown>;

  /** @param where the object's path, such as `tokenizer.json: decoder` */
  constructor(
    values: unknown,
    readonly where: string,
  ) {
    const record = asRecord(values);
    if (!record) throw new TokenizerError(`${where}: expected an object, found ${shown(values)}`);
    this.values = record;
  }

  /** Whether the field is present and not null. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** The field's value; undefined if it is missing or null. */
  get(name: string): unknown {
    // A vocabulary may contain a token such as `constructor`.
    return Object.hasOwn(this.values, name) ? (this.values[name] ?? undefined) : undefined;
  }

  string(name: string, otherwise?: string): string {
    const value = this.get(name) ?? otherwise;
    return typeof value === 'string' ? value : this.refuse(name, 'a string');
  }

  /** A string of one character. */
  character(name: string, otherwise: string): string {
    const value = this.string(name, otherwise);
    return [...value].length === 1 ? value : this.refuse(name, 'one character');
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.get(name) ?? otherwise;
    return typeof value === 'boolean' ? value : this.refuse(name, 'true or false');
  }

  /** An integer, 0 or more. */
  count(name: string, otherwise: number): number {
    const value = this.get(name) ?? otherwise;
    const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 0;
    return isCount ? value : this.refuse(name, 'a whole number');
  }

  /** One of several names. */
  choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.string(name, otherwise);
    const found = choices.find((choice) => choice === value);
    return found ?? this.refuse(name, `one of ${choices.join(', ')}`);
  }

  object(name: string): Fields {
    return new Fields(this.get(name), `${this.where}.${name}`);
  }

  list(name: string): unknown[] {
    const value = this.get(name);
    return Array.isArray(value) ? value : this.refuse(name, 'a list');
  }

  /** A list of objects. */
  objects(name: string): Fields[] {
    // Array.from, unlike map, visits the holes of a sparse array.
    return Array.from(
      this.list(name),
      (value, i) => new Fields(value, `${this.where}.${name}[${i}]`),
    );
  }

  /** Throws the error for a field. */
  refuse(name: string, expected: string): never {
    const found = shown(this.get(name));
    throw new TokenizerError(`${this.where}.${name}: expected ${expected}, found ${found}`);
  }

  /** Throws the error for an unknown component type. */
  refuseType(component: string): never {
    const type = shown(this.get('type'));
    throw new TokenizerError(`${this.where}: ${component} of type ${type} is not supported`);
  }
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
