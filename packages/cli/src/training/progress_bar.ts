// Shows the progress of training on stderr: a bar on a terminal, else a line at intervals.

import type { StepReport, TrainOptions } from '@rene-js/rene/training';
import { SingleBar } from 'cli-progress';

/** Seconds between lines where stderr is not a terminal. */
const LINE_EVERY = 15;

/** Progress display of a training run. */
export interface TrainingProgress extends Required<Pick<TrainOptions, 'onStep' | 'onEvaluation'>> {
  /** Call it when train() has returned or thrown. */
  stop(): void;
}

/** onStep and onEvaluation callbacks for train(). */
export function trainingProgress(stream: NodeJS.WriteStream = process.stderr): TrainingProgress {
  const bar = stream.isTTY ? startableBar(stream) : undefined;
  let lastLine = Number.NEGATIVE_INFINITY;
  return {
    onStep(report) {
      if (bar) bar.show(report);
      else if (performance.now() - lastLine > LINE_EVERY * 1000 || report.step === report.steps) {
        lastLine = performance.now();
        stream.write(`step ${report.step}/${report.steps}  ${describe(report)}\n`);
      }
    },
    onEvaluation({ step, bitsPerByte, best }) {
      const line = `step ${step}: held out ${bitsPerByte.toFixed(4)} bits a byte${best ? ', the best so far' : ''}\n`;
      if (bar) bar.interrupt(line);
      else stream.write(line);
    },
    stop: () => bar?.stop(),
  };
}

function startableBar(stream: NodeJS.WriteStream) {
  const bar = new SingleBar({
    stream,
    format: '{bar} {value}/{total}  {text}',
    hideCursor: true,
    stopOnComplete: false,
  });
  let started = false;
  return {
    show(report: StepReport) {
      const text = describe(report);
      if (started) bar.update(report.step, { text });
      else bar.start(report.steps, report.step, { text });
      started = true;
    },
    interrupt(line: string) {
      stream.write(`\r\x1b[K${line}`);
    },
    stop: () => bar.stop(),
  };
}

function describe({ smoothedLoss, tokensPerSecond, secondsLeft, tokens }: StepReport): string {
  return (
    `loss ${smoothedLoss.toFixed(3)}  ${Math.round(tokensPerSecond)} tokens/s  ` +
    `${(tokens / 1e6).toFixed(2)} M tokens  ${duration(secondsLeft)} left`
  );
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
