// Headless Chromium and its pages for the tests.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

/** The browser of the tests. CHROMIUM selects another one. */
export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

export const hasChromium = existsSync(executablePath);

/** The environment variable with the address of the browser that all test files share. */
const ENDPOINT = 'RENE_BROWSER_ENDPOINT';

let browser: Promise<Browser> | undefined;
let gpuArgs: readonly string[] | undefined;

/** Makes a browser that has not started yet use SwiftShader for WebGPU and WebGL. */
export function useSoftwareGpu(): void {
  gpuArgs = [
    ...['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--use-vulkan=swiftshader'],
    ...['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
    // As in Node: see webgpu.ts of packages/testing.
    '--enable-dawn-features=disable_workgroup_init',
  ];
}

const options = (gpu: readonly string[]) => ({
  executablePath,
  args: [
    ...gpu,
    ...['--no-sandbox', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ],
});

/** Starts the browser that all test files share. @returns its end */
export async function shareBrowser(): Promise<() => Promise<void>> {
  if (!hasChromium) return async () => {};
  const server = await chromium.launchServer(options(['--disable-gpu']));
  process.env[ENDPOINT] = server.wsEndpoint();
  return () => server.close();
}

/** The shared browser, or one of this process: for WebGPU, or in a file that runs alone. */
export function startBrowser(): Promise<Browser> {
  const endpoint = process.env[ENDPOINT];
  browser ??=
    endpoint && !gpuArgs
      ? chromium.connect(endpoint)
      : chromium.launch(options(gpuArgs ?? ['--disable-gpu']));
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

/** A page with its own profile. */
export interface TestPage {
  page: Page;
  /** The page's console output and uncaught errors. */
  messages: string[];
  close(): Promise<void>;
}

/**
 * Opens `url` and waits until its scripts have run.
 *
 * @param other a page whose profile is used. Default: a new profile.
 */
export async function openPage(url: string, other?: TestPage): Promise<TestPage> {
  const context = other?.page.context() ?? (await (await startBrowser()).newContext());
  const page = await context.newPage();
  const messages: string[] = [];
  page.on('console', (message) => messages.push(message.text()));
  page.on('pageerror', (error) => messages.push(String(error)));
  await page.goto(url);
  return { page, messages, close: () => context.close() };
}
