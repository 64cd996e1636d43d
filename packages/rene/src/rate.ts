// Durations and rates for output: the printed rate is the printed count divided by the printed seconds.

/** Seconds with four significant digits: 12.34, 1.234, 0.01234; never 0. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 10) return seconds.toFixed(2);
  return seconds >= 0.0001 ? seconds.toPrecision(4) : Math.max(seconds, 1e-7).toFixed(7);
}

/** A count divided by seconds as printed by formatSeconds, with one decimal. */
export function formatRate(count: number, seconds: string): string {
  return (count / Number(seconds)).toFixed(1);
}
