import type { Page } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { signIn, SIZES, startBrowser, startMock, type Browser, type Server } from './browser.ts';

/** Alerts in every state, which no real server has on demand. */
let server: Server;
let browser: Browser;
let page: Page;

const grid = () => page.getByRole('grid', { name: 'Alerts' });
const rows = () => grid().locator('tr[aria-rowindex]');
const row = (text: string) => rows().filter({ hasText: text }).first();
const drawer = () => page.getByRole('complementary', { name: 'Alert' });
const dialog = () => page.getByRole('dialog');
const heading = () => page.locator('h2[role=status]');
const param = (name: string) => new URL(page.url()).searchParams.get(name);
const press = async (...keys: string[]) => {
  for (const key of keys) await page.keyboard.press(key);
};

async function open(path: string, size = SIZES.desktop): Promise<void> {
  page = await browser.open(size);
  await signIn(page, server.url, path);
}

// Each test sees to alerts, so each has its own.
beforeEach(async () => {
  server = await startMock({ liveMs: 0 });
  browser = await startBrowser(server);
  await open('/alerts');
  await rows().first().waitFor();
});
afterEach(async () => {
  await page.close();
  const complaints = browser.complaints.splice(0);
  await browser.stop();
  await server.stop();
  expect(complaints).toEqual([]);
});

test('what needs attention is shown, the newest first', async () => {
  expect(await heading().innerText()).toBe('5 active');
  expect(await rows().count()).toBe(5);
  expect(await rows().first().innerText()).toMatch(
    /critical[\s\S]*open[\s\S]*a login after many failures on web1/,
  );
  expect(await row('disk').innerText()).toContain('acknowledged');
});

test('the list is filtered, and the address says how', async () => {
  await page.getByLabel('Level').selectOption('high');
  await expect.poll(() => heading().innerText()).toBe('3 alerts');
  expect(param('level')).toBe('high');
  await page.getByLabel('State').selectOption('silenced');
  await expect.poll(() => heading().innerText()).toBe('1 alert');
  await page.getByLabel('Rule', { exact: true }).selectOption('login-root');
  await page.getByText('No alerts of what is chosen.').waitFor();
  await page.getByRole('button', { name: 'All levels and rules' }).click();
  await expect.poll(() => heading().innerText()).toBe('1 alert');
  await page.reload();
  await rows().first().waitFor();
  expect(await page.getByLabel('State').inputValue()).toBe('silenced');
});

test('the list is virtual, and goes on as it is scrolled', async () => {
  await page.getByLabel('State').selectOption('all');
  await expect.poll(() => heading().innerText()).toBe('The newest 200 alerts');
  expect(await rows().count()).toBeLessThan(90);
  await grid().focus();
  await press('End');
  await expect.poll(() => heading().innerText()).toBe('325 alerts');
});

test('an alert is seen to by keys', async () => {
  await grid().focus();
  await press('j', 'j', 'Enter');
  await drawer().getByText('What became of it').waitFor();
  expect(await drawer().innerText()).toMatch(/Root logged in[\s\S]*192\.0\.2\./);
  expect(param('id')).not.toBeNull();
  await press('a');
  await dialog().getByRole('heading', { name: 'Acknowledge 1 alert' }).waitFor();
  await dialog().getByLabel('Why').fill('it was me');
  await press('Control+Enter');
  await page.getByText('1 alert acknowledged').waitFor();
  await expect.poll(() => drawer().innerText()).toMatch(/acknowledged\s+by dora[\s\S]*it was me/);
  await press('s');
  await dialog().getByLabel(/^For/).selectOption('+1h');
  await dialog().getByRole('button', { name: 'Silence' }).click();
  await expect.poll(() => drawer().innerText()).toContain('silenced');
  await press('e');
  await dialog().getByRole('button', { name: 'Resolve' }).click();
  await expect.poll(() => heading().innerText()).toBe('4 active');
  // What has left the list is still open, and says how it stands.
  await expect.poll(() => drawer().innerText()).toMatch(/resolved\s+by dora/);
  await press('Escape');
  await expect.poll(() => drawer().count()).toBe(0);
});

test('what is not known is not said to be nothing', async () => {
  await page.close();
  page = await browser.open(SIZES.desktop);
  await page.route('**/api/v1/alerts?**', (route) => route.abort());
  await page.route('**/api/v1/violations?**', (route) => route.abort());
  await signIn(page, server.url, '/alerts');
  await page.getByRole('alert').first().waitFor();
  expect((await heading().innerText()).trim()).toBe('');
  await page.goto(`${server.url}/databases`);
  await page.getByRole('alert').first().waitFor();
  expect((await heading().innerText()).trim()).toBe('');
});

test('several are seen to at once', async () => {
  await page.getByLabel('Select all that are loaded').check();
  await page.getByRole('button', { name: 'Resolve 5…' }).click();
  await dialog().getByRole('button', { name: 'Resolve' }).click();
  await page.getByText('Nothing needs attention.').waitFor();
  await page.getByText('5 rules look at every event').waitFor();
});

test('rules are listed with those that are not in force', async () => {
  await page.getByRole('button', { name: /^Rules/ }).click();
  const table = page.getByRole('table', { name: 'Rules' });
  expect(await table.getByRole('row').count()).toBe(6);
  await page.getByText('unknown field `wen`').waitFor();
  await page.getByText('no source here gives product windows').waitFor();
  await table.getByRole('button', { name: 'login-root' }).click();
  await rows().first().waitFor();
  expect([param('rule'), param('state'), param('rules')]).toEqual(['login-root', 'all', null]);
});

test('a link opens one, also when the list does not have it', async () => {
  await page.goto(`${server.url}/alerts?id=nothing`);
  await drawer().getByText('no such alert').waitFor();
});

test('who only reads is told so', async () => {
  const other = await startMock({ liveMs: 0, role: 'auditor' });
  const their = await startBrowser(other);
  const seen = await their.open(SIZES.desktop);
  await signIn(seen, other.url, '/alerts');
  await seen.getByText('Only administrators see to alerts.').waitFor();
  expect(await seen.getByRole('checkbox').count()).toBe(0);
  await their.stop();
  await other.stop();
});

test('a phone gets the list and the detail, one at a time', async () => {
  await page.close();
  await open('/alerts', SIZES.phone);
  await rows().first().click();
  await drawer().getByRole('button', { name: 'Back to the list' }).click();
  await expect.poll(() => drawer().count()).toBe(0);
  await page.getByRole('button', { name: /^Rules/ }).click();
  const table = await page.getByRole('table', { name: 'Rules' }).boundingBox();
  expect(table?.width).toBeLessThanOrEqual(SIZES.phone.width);
});
