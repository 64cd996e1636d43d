// Generates text in a page of app/, and in Node for comparison.
import { ReneLMHeadModel, streamText, Tokenizer } from '@rene-js/rene';
import { openPage } from './chromium.js';
import { reneTiny } from './project.js';

export interface GenerateCall {
  /** Where the model is served. */
  model: string;
  prompt: string;
  /** Default: simd. */
  backend?: string;
  maxNewTokens: number;
  /** Runs the model in a worker. Default: false, on the page's thread. */
  inWorker?: boolean;
}

export interface GenerateResult {
  text: string;
  backend: string;
  /** Of the backend simd; 0 with another. */
  threads: number;
}

declare global {
  /** See app/main.js. */
  var generate: Generate;
  var generateInWorker: Generate;
}

type Generate = (
  url: string,
  prompt: string,
  options: { backend: string; maxNewTokens: number },
) => Promise<GenerateResult>;

/** What a page did. */
export interface PageRun {
  result: GenerateResult | undefined;
  /** The error as text if there is no result. */
  error: string | undefined;
  /** The page's console output. */
  messages: string[];
  /** Number of logical processors that the page sees. */
  cores: number;
}

/** Opens the page at `url` and generates text there. */
export async function generateInPage(url: string, call: GenerateCall): Promise<PageRun> {
  const [run] = await generateAllInPage(url, [call]);
  if (!run) throw new Error('the page has no result');
  return run;
}

/** Opens the page at `url` and generates several texts there, one after the other. */
export async function generateAllInPage(
  url: string,
  calls: readonly GenerateCall[],
): Promise<PageRun[]> {
  const { page, messages, close } = await openPage(url);
  try {
    const ready = () => 'generate' in globalThis;
    await page.waitForFunction(ready, undefined, { timeout: 120_000 }).catch((cause: unknown) => {
      throw new Error(`the page does not run: ${messages.join('\n')}`, { cause });
    });
    const runs: PageRun[] = [];
    for (const call of calls) {
      const { model, prompt, backend = 'simd', maxNewTokens, inWorker = false } = call;
      const run = await page.evaluate(
        async ([at, text, options, worker]) => {
          try {
            const call = worker ? generateInWorker : generate;
            return { result: await call(at, text, options) };
          } catch (error) {
            return { error: String(error) };
          }
        },
        [model, prompt, { backend, maxNewTokens }, inWorker] as const,
      );
      const cores = await page.evaluate(() => navigator.hardwareConcurrency);
      runs.push({ result: undefined, error: undefined, ...run, messages, cores });
    }
    return runs;
  } finally {
    await close();
  }
}

/** The text that the packages generate in Node from rene-tiny. */
export async function generateInNode(prompt: string, maxNewTokens: number): Promise<string> {
  const model = await ReneLMHeadModel.fromPretrained(reneTiny, { backend: 'simd' });
  const tokenizer = await Tokenizer.fromPretrained(reneTiny);
  let text = '';
  for await (const piece of streamText(model, tokenizer, prompt, { maxNewTokens })) text += piece;
  model.dispose();
  return text;
}
