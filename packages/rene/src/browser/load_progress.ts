// Progress of loading a model in a page.

/** Progress of loading. */
export interface LoadProgress {
  /**
   * - `download`: bytes of `file` arrive, from the server or from the cache
   * - `pack`: weights are converted to the form in which the CPU reads them
   * - `upload`: weights are written to the GPU
   */
  readonly phase: 'download' | 'pack' | 'upload';
  /** The file's name, or the name of the last weight. */
  readonly file: string;
  /** Bytes of the file, or number of weights, so far. */
  readonly loaded: number;
  /** Their total; undefined if the server does not tell. */
  readonly total: number | undefined;
  /** Per second, since the phase of this file began; bytes from the cache do not count. */
  readonly rate: number;
}

/** Milliseconds between two reports of the same file. */
const INTERVAL = 50;

/** Turns counts into reports with a rate, a few each second. */
export class ProgressReporter {
  private readonly started = new Map<string, { at: number; from: number; last: number }>();

  constructor(private readonly report: (progress: LoadProgress) => void) {}

  /** The first call for a file reports the bytes that it had before, such as those of a broken download. */
  update(
    phase: LoadProgress['phase'],
    file: string,
    loaded: number,
    total: number | undefined,
  ): void {
    const key = phase === 'download' ? file : phase;
    const now = performance.now();
    const begun = this.started.get(key) ?? {
      at: now,
      from: loaded,
      last: Number.NEGATIVE_INFINITY,
    };
    this.started.set(key, begun);
    if (loaded !== total && now - begun.last < INTERVAL) return;
    begun.last = now;
    const seconds = (now - begun.at) / 1000;
    const rate = seconds > 0 ? Math.max(0, loaded - begun.from) / seconds : 0;
    this.report({ phase, file, loaded, total, rate });
  }
}
