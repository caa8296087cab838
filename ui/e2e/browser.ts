import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { makeEvents } from '../test/mock/data.ts';
import { createMock, serveBuild, type Mock, type MockOptions } from '../test/mock/server.ts';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const DIST = fileURLToPath(new URL(process.env.DIST ?? '../dist', import.meta.url));

export const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

export interface Server {
  url: string;
  /** Only where the mock serves; the real server has its own events. */
  mock?: Mock;
  /** The whole set-up link of a server that nobody has set up. */
  setupLink: string;
  stop(): Promise<void>;
}

/**
 * The server at ATTESTRY_URL (fresh, with its set-up link in the file ATTESTRY_SETUP_LINK), or the mock with the build
 * in `dist`.
 */
export async function startServer(options: MockOptions = {}): Promise<Server> {
  const url = process.env.ATTESTRY_URL;
  if (url) {
    const file = process.env.ATTESTRY_SETUP_LINK;
    // The server removes the file when the link was used.
    const setupLink = file && existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    return { url: url.replace(/\/$/, ''), setupLink, stop: async () => {} };
  }
  return startMock(options);
}

/** For what no real server does on demand: being slow, being empty, being gone. */
export async function startMock(options: MockOptions = {}): Promise<Server> {
  const mock = createMock(options);
  const page = serveBuild(DIST);
  const server = createServer((req, res) => mock.handle(req, res, () => page(req, res)));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: base,
    mock,
    setupLink: `${base}/setup#token=${mock.setupToken}`,
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

export interface Browser {
  context: BrowserContext;
  /** What the browser complained about: errors, violations of the CSP, requests to other origins. */
  complaints: string[];
  open(size?: { width: number; height: number }): Promise<Page>;
  stop(): Promise<void>;
}

export async function startBrowser(
  server: Server,
  colorScheme: 'light' | 'dark' = 'light',
): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'attestry-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    viewport: SIZES.desktop,
    colorScheme,
    timezoneId: 'Europe/Berlin',
    acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(`error: ${error.error().message}`));
  context.on('console', (message) => {
    // A refused request is part of several tests; what the page made of it is looked at there.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(`console: ${message.text()}`);
  });
  context.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== server.url && protocol !== 'blob:' && protocol !== 'data:')
      complaints.push(`request: ${request.url()}`);
  });
  return {
    context,
    complaints,
    async open(size = SIZES.desktop) {
      const page = await context.newPage();
      page.setDefaultTimeout(10_000);
      await page.setViewportSize(size);
      return page;
    },
    async stop() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export const ACCOUNT = { name: 'dora', password: 'correct horse battery' };

/** Opens the address, and signs in if nobody is in this browser. */
export async function signIn(page: Page, url: string, path = '/'): Promise<void> {
  await page.goto(url + path);
  const inside = page.getByRole('navigation', { name: 'Pages' });
  const name = page.getByLabel('User name');
  await inside.or(name).first().waitFor();
  if (await inside.isVisible()) return;
  await name.fill(ACCOUNT.name);
  await page.getByLabel('Password').fill(ACCOUNT.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await inside.waitFor();
}

/** Made by the server. */
const BORDER = new Set(['v', 'event_id', 'received_at', 'event_source']);

/** Gives the real server the events that the mock has; the page must be signed in. */
export async function seed(page: Page): Promise<void> {
  const events = makeEvents(4000, Date.now() - 60_000).map(({ entry }) =>
    entry.replace(/"(v|event_id|received_at|event_source)":("[^"]*"|1),/g, (whole, name: string) =>
      BORDER.has(name) ? '' : whole,
    ),
  );
  const status = await page.evaluate(async (body) => {
    const { csrf } = (await (await fetch('/api/v1/session')).json()) as { csrf: string };
    const key = await fetch('/api/v1/keys', {
      method: 'POST',
      headers: { 'X-CSRF-Token': csrf, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'billing-api', kind: 'write' }),
    });
    const { key: secret } = (await key.json()) as { key: string };
    const answer = await fetch('/api/v1/events?partial=true', {
      method: 'POST',
      headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/x-ndjson' },
      credentials: 'omit',
      body,
    });
    return answer.status === 201 ? '' : `${answer.status} ${(await answer.text()).slice(0, 500)}`;
  }, events.join('\n'));
  if (status !== '') throw new Error(`seeding failed: ${status}`);
}
