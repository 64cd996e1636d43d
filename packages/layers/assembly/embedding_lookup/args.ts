// Arguments of the gradient of the embedding lookup.

export enum LookupGradArg {
  ids,
  dy,
  /** Must be zeros before the call. */
  dweight,
  count,
  columns,
  rows,
}
