// Arguments of cross entropy and its gradient.

export enum CrossEntropyArg {
  logits,
  targets,
  loss,
  columns,
}

export enum CrossEntropyGradArg {
  logits,
  targets,
  dlogits,
  columns,
  dy,
}
