// Documents from a Parquet file, as JSON would have them.
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { EvaluationError } from '../errors.js';
import { type Doc, isDoc } from '../task.js';

/** @param where named in errors */
export async function readParquet(bytes: ArrayBuffer, where: string): Promise<Doc[]> {
  try {
    const rows: unknown[] = await parquetReadObjects({ file: bytes, compressors });
    return rows.map(plain).filter(isDoc);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new EvaluationError(`${where}: not a Parquet file that can be read: ${why}`, {
      cause: error,
    });
  }
}

/** Integers of 64 bits come as bigint. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isDoc(value)) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
}
