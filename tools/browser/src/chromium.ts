import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import type { InPage } from './page.js';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Software rendering, so that results do not depend on the machine's graphics; and nothing that asks the network. */
const switches = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--enable-unsafe-webgpu',
  '--enable-features=Vulkan,WebGPU',
  '--use-webgpu-adapter=swiftshader',
];

/** @throws Error that says how to install it */
function chromiumPath(): string {
  const named = process.env['ADAKIT_CHROMIUM'];
  const path = named === undefined ? places.find((place) => existsSync(place)) : named;
  if (path === undefined || !existsSync(path)) {
    throw new Error(
      named === undefined
        ? 'there is no Chromium; install it (Debian: apt-get install chromium), or name one in ADAKIT_CHROMIUM'
        : `ADAKIT_CHROMIUM names ${named}, which does not exist`,
    );
  }
  return path;
}

/** A page in a headless Chromium, with all rules and the backends of TensorFlow.js. */
export class Browser {
  readonly #context: BrowserContext;
  readonly #page: Page;
  readonly #server: Server;
  readonly #profile: string;
  /** What the page has written on its console, but for information. */
  readonly warnings: string[] = [];

  private constructor(context: BrowserContext, page: Page, server: Server, profile: string) {
    this.#context = context;
    this.#page = page;
    this.#server = server;
    this.#profile = profile;
    page.on('console', (message) => {
      if (['warning', 'error'].includes(message.type())) this.warnings.push(message.text());
    });
    page.on('pageerror', (error) => this.warnings.push(error.message));
  }

  /** @throws Error where there is no Chromium; it says how to install one */
  static async start(): Promise<Browser> {
    const executablePath = chromiumPath();
    const scripts = await bundle();
    const server = createServer((request, response) => {
      const script = scripts.get(request.url ?? '');
      response.setHeader('content-type', script === undefined ? 'text/html; charset=utf-8' : 'text/javascript');
      response.end(script ?? '<!doctype html><title>adakit</title><script src="/page.js"></script>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const profile = await mkdtemp(join(tmpdir(), 'adakit-chromium-'));
    const context = await chromium.launchPersistentContext(profile, { executablePath, args: switches });
    const browser = new Browser(context, context.pages()[0] ?? (await context.newPage()), server, profile);
    await browser.reload();
    return browser;
  }

  /** A page without anything from before. */
  async reload(): Promise<void> {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the server of the page has no port');
    this.warnings.length = 0;
    await this.#page.goto(`http://127.0.0.1:${String(address.port)}/`);
  }

  /** Calls a function of the page. */
  async call<Name extends keyof InPage>(
    name: Name,
    ...args: Parameters<InPage[Name]>
  ): Promise<Awaited<ReturnType<InPage[Name]>>> {
    const result: unknown = await this.#page.evaluate(
      ([name, args]) => {
        const { adakit } = globalThis as unknown as { adakit: Record<string, (...args: unknown[]) => unknown> };
        return adakit[name](...args);
      },
      [name, args] as const,
    );
    return result as Awaited<ReturnType<InPage[Name]>>;
  }

  async close(): Promise<void> {
    await this.#context.close();
    this.#server.close();
    await rm(this.#profile, { recursive: true, force: true });
  }
}

/** The scripts of the page and of its worker, by address. */
async function bundle(): Promise<ReadonlyMap<string, string>> {
  const source = fileURLToPath(new URL('../src/', import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [join(source, 'page.ts'), join(source, 'batches.ts')],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    conditions: ['@adakit/source', 'module'],
    outdir: '/',
    write: false,
    logLevel: 'error',
  });
  return new Map(outputFiles.map(({ path, text }) => [path, text]));
}
