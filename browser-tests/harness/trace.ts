// Chromium's trace: CPU time of threads, which pages cannot read.

/** An event of a trace. Times are in microseconds. */
interface TraceEvent {
  name: string;
  cat: string;
  pid: number;
  tid: number;
  ts: number;
  /** CPU time of the thread so far. */
  tts?: number;
  /** CPU time of the event. */
  tdur?: number;
  dur?: number;
}

interface Mark extends TraceEvent {
  tts: number;
}

export function traceEvents(json: Buffer): TraceEvent[] {
  const { traceEvents: events }: { traceEvents: TraceEvent[] } = JSON.parse(json.toString());
  return events.toSorted((a, b) => a.ts - b.ts);
}

/** The marks of performance.mark, in their order. */
export function marksOf(events: readonly TraceEvent[]): Mark[] {
  return events.filter(
    (event): event is Mark => event.cat === 'blink.user_timing' && event.tts !== undefined,
  );
}

/** CPU time of the tasks on an event's thread. */
export function taskMicroseconds(
  events: readonly TraceEvent[],
  on: TraceEvent | undefined,
): number {
  let sum = 0;
  let end = 0;
  for (const { pid, tid, ts, dur = 0, tdur = 0 } of events) {
    // An event within another one is part of it.
    if (pid !== on?.pid || tid !== on.tid || ts < end) continue;
    sum += tdur;
    end = ts + dur;
  }
  return sum;
}
