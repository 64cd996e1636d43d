// Headless Chromium and its pages for the tests.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

/** The browser of the tests. CHROMIUM selects another one. */
export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

export const hasChromium = existsSync(executablePath);

let browser: Promise<Browser> | undefined;
let gpuArgs: readonly string[] = ['--disable-gpu'];

/** Makes a browser that has not started yet use SwiftShader for WebGPU and WebGL. */
export function useSoftwareGpu(): void {
  gpuArgs = [
    ...['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--use-vulkan=swiftshader'],
    ...['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
    // As in Node: see webgpu.ts of packages/testing.
    '--enable-dawn-features=disable_workgroup_init',
  ];
}

/** The one browser of this process. */
export function startBrowser(): Promise<Browser> {
  browser ??= chromium.launch({
    executablePath,
    args: [
      ...gpuArgs,
      ...['--no-sandbox', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
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
