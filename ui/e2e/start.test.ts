import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import {
  ACCOUNT,
  signIn,
  startBrowser,
  startMock,
  startServer,
  type Browser,
  type Server,
} from './browser.ts';

async function withPage(
  options: Parameters<typeof startMock>[0],
  run: (page: Page, server: Server, browser: Browser) => Promise<void>,
): Promise<void> {
  // Only the set-up can be tried on a real server, once, when it is fresh.
  const server =
    options?.fresh && process.env.ATTESTRY_SETUP_LINK ? await startServer() : await startMock(options);
  const browser = await startBrowser(server);
  try {
    await run(await browser.open(), server, browser);
    expect(browser.complaints).toEqual([]);
  } finally {
    await browser.stop();
    await server.stop();
  }
}

test('set-up: the link, a name, a password, signed in', () =>
  withPage({ fresh: true, events: 0 }, async (page, server) => {
    await page.goto(`${server.url}/`);
    await page.getByText('Nobody has been set up here yet').waitFor();
    await page.goto(server.setupLink);
    await page.getByLabel('User name').fill(ACCOUNT.name);
    await page.getByLabel('Password', { exact: true }).fill(ACCOUNT.password);
    await page.getByLabel('Password again').fill('something else');
    await page.getByText('The two differ').waitFor();
    await page.getByLabel('Password again').fill(ACCOUNT.password);
    // The token is no longer in the address bar, nor in the history.
    expect(page.url()).not.toContain('token');
    await page.getByRole('button', { name: 'Set up and sign in' }).click();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
    await page.reload();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  }));

test('an empty server says what runs, gives a ready line, and a fresh key', () =>
  withPage({ events: 0, liveMs: 0 }, async (page, server) => {
    await signIn(page, server.url);
    await page.getByText('No events yet').waitFor();
    await page.getByRole('button', { name: 'Put a fresh key in' }).click();
    await page.getByText(/Bearer atk_/).waitFor();
    server.mock?.append();
    await page.getByRole('button', { name: 'Search again', exact: true }).first().click();
    await page.locator('tr[aria-rowindex]').first().waitFor();
  }));

test('a newcomer is shown how to send events, until told that it is known', () =>
  withPage({ events: 300, liveMs: 0 }, async (page, server) => {
    await signIn(page, server.url);
    await page.getByRole('button', { name: /^Send your own/ }).click();
    await page.getByRole('dialog').getByText('curl -sS').waitFor();
    await page.getByRole('button', { name: 'outcome:failure' }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get('q')).toBe('outcome:failure');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await page.reload();
    await page.locator('tr[aria-rowindex]').first().waitFor();
    expect(await page.getByText('Send your own').count()).toBe(0);
  }));

test('live: events join the list; it pauses when the reader scrolls, and says how many wait', () =>
  withPage({ events: 3000, liveMs: 0 }, async (page, server) => {
    await signIn(page, server.url, '/search?from=all');
    await page.locator('tr[aria-rowindex]').first().waitFor();
    await page.keyboard.press('l');
    await expect.poll(() => new URL(page.url()).searchParams.get('live')).toBe('1');
    await page.waitForTimeout(500);
    const before = await page.locator('.counts strong').innerText();
    for (let i = 0; i < 3; i++) server.mock?.append();
    await expect.poll(() => page.locator('.counts strong').innerText()).not.toBe(before);
    await page.locator('.scroller').evaluate((element) => element.scrollTo(0, 600));
    await page.waitForTimeout(200);
    const top = await page.locator('.scroller').evaluate((element) => element.scrollTop);
    for (let i = 0; i < 7; i++) server.mock?.append();
    await page.getByRole('button', { name: '7 events waiting' }).click();
    await expect.poll(() => page.getByRole('button', { name: /waiting/ }).count()).toBe(0);
    expect(top).toBe(600);
    expect(await page.locator('.scroller').evaluate((element) => element.scrollTop)).toBe(0);
  }));

test('a slow search shows its time, can be stopped, and typing goes on', () =>
  withPage({ events: 500, delay: 1500, liveMs: 0 }, async (page, server) => {
    await signIn(page, server.url, '/search?from=all');
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    await page.getByLabel('Search query').fill('username:alice');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText(/stopped/).waitFor();
    expect(await page.getByLabel('Search query').inputValue()).toBe('username:alice');
  }));

test('a server that is gone is named, and what was found stays', () =>
  withPage({ events: 500, liveMs: 0 }, async (page, server) => {
    await signIn(page, server.url, '/search?from=all');
    await page.locator('tr[aria-rowindex]').first().waitFor();
    await server.stop();
    await page.getByRole('button', { name: 'Search', exact: true }).click();
    await page.getByText('The server did not answer').waitFor();
    expect(await page.locator('tr[aria-rowindex]').count()).toBeGreaterThan(5);
  }));
