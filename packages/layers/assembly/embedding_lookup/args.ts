// Arguments of the gradient of the embedding lookup.

export enum LookupGradArg {
  ids,
  dy,
  /** Zeros before the call. */
  dweight,
  count,
  columns,
  rows,
}
