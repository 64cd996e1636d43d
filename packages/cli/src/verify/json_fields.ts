// Reads fields of reference JSON with type checks.
import { CheckpointError } from '@rene-js/rene';

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}

export function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.map((entry) => numberOr(entry, Number.NaN)) : [];
}

/** @throws CheckpointError unless the value is a list */
export function listOf(value: unknown, where: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new CheckpointError(`${where}: expected a list of cases, found ${typeof value}`);
}

/** @throws CheckpointError unless the value is an object */
export function recordOf(value: unknown, where: string): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw new CheckpointError(`${where}: expected an object, found ${typeof value}`);
}
