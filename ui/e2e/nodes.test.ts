import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { signIn, SIZES, startBrowser, startMock, startServer, type Browser, type Server } from './browser.ts';

/** Has events of several hosts. */
let server: Server;
/** Has agents, receivers and sinks in every state, which no real server has on demand. */
let nodes: Server;
const browsers = new Map<Server, Browser>();
let page: Page;

const grid = () => page.getByRole('grid');
const cell = () => page.getByRole('complementary', { name: 'Cell' });
const param = (name: string) => new URL(page.url()).searchParams.get(name);

async function open(on: Server, path: string, size = SIZES.desktop): Promise<void> {
  const browser = browsers.get(on);
  if (!browser) throw new Error('there is no browser for this server');
  page = await browser.open(size);
  await signIn(page, on.url, path);
}

beforeAll(async () => {
  server = await startServer({ liveMs: 0 });
  nodes = await startMock({ liveMs: 0 });
  for (const on of [server, nodes]) browsers.set(on, await startBrowser(on));
});
afterAll(async () => {
  for (const [on, browser] of browsers) {
    await browser.stop();
    await on.stop();
  }
});
beforeEach(async () => {
  await open(nodes, '/agents');
});
afterEach(async () => {
  await page.close();
  for (const browser of browsers.values()) expect(browser.complaints.splice(0)).toEqual([]);
});

test('a cell of the coverage opens exactly its events', async () => {
  await page.close();
  await open(server, '/coverage?from=-7d&to=now');
  await grid().waitFor();
  await grid().locator('.cell.seen').last().click();
  await cell().waitFor();
  const [host, source, time] = JSON.parse(param('cell') ?? '[]') as string[];
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:00:00.000Z$/);
  const button = cell().getByRole('button', { name: /^[\d,]+ events?$/ });
  const seen = (await button.innerText()).replace(/\D/g, '');
  expect(Number(seen)).toBeGreaterThan(0);
  await button.click();
  await page.locator('.counts strong').waitFor();
  expect((await page.locator('.counts strong').innerText()).replace(/\D/g, '')).toBe(seen);
  expect(param('q')).toContain(`event_source:${source}`);
  expect(param('q')).toContain(host === '' ? '-host:*' : `host:${host}`);
  await page.goBack();
  await cell().waitFor();
});

test('the coverage is walked by keyboard, from gap to gap', async () => {
  await page.close();
  await open(nodes, '/coverage?from=-24h&to=now');
  await grid().focus();
  const active = async () => page.locator(`#${await grid().getAttribute('aria-activedescendant')}`);
  for (const [key, id] of [
    ['ArrowDown', 'c-1-0'],
    ['ArrowRight', 'c-1-1'],
    ['Home', 'c-1-0'],
    ['ArrowLeft', 'c-1-0'],
    ['k', 'c-0-0'],
  ] as const) {
    await page.keyboard.press(key);
    expect(await (await active()).getAttribute('id')).toBe(id);
  }
  await page.keyboard.press('n');
  expect(await (await active()).getAttribute('class')).toMatch(/missing|gap|few|silent/);
  expect(await (await active()).getAttribute('aria-label')).toMatch(/^db1 · attestry, .*: \d+ events?/);
  await page.keyboard.press('Enter');
  await cell().getByRole('heading', { name: 'Gaps' }).waitFor();
  await page.keyboard.press('Escape');
  expect(await cell().count()).toBe(0);
  expect(param('cell')).toBe(null);
  await page.keyboard.press('Enter');
  // A gap opens as the event that tells of it.
  await cell().getByRole('button', { name: 'gap.source' }).first().click();
  await page.getByRole('complementary', { name: 'Event' }).waitFor();
  expect(param('event')).toMatch(/^audit\/\d+$/);
});

test('only what has gaps is shown when that is asked', async () => {
  await page.close();
  await open(nodes, '/coverage?from=-24h&to=now');
  await grid().waitFor();
  const all = Number(await grid().getAttribute('aria-rowcount'));
  await page.getByLabel('Only with gaps').check();
  expect(param('gaps')).toBe('1');
  const some = Number(await grid().getAttribute('aria-rowcount'));
  expect(some).toBeGreaterThan(0);
  expect(some).toBeLessThan(all);
  await page.reload();
  await grid().waitFor();
  expect(Number(await grid().getAttribute('aria-rowcount'))).toBe(some);
});

test('a month fits a phone, and what does not fit 31 days is said', async () => {
  await page.close();
  await open(nodes, '/coverage?from=-365d&to=now', SIZES.phone);
  await grid().waitFor();
  await page.getByText('the last 31 days of the range').waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(SIZES.phone.width);
  const boxes = await grid().locator('[role=row]').first().locator('.cell').count();
  expect(boxes).toBeGreaterThan(20);
  await grid().locator('.cell').nth(3).click();
  expect(await cell().boundingBox()).toMatchObject({ x: 0, width: SIZES.phone.width });
  await cell().getByRole('button', { name: 'Close' }).click();
  expect(await cell().count()).toBe(0);
});

test('agents are listed with what is wrong, and one is revoked after a second thought', async () => {
  const row = (name: string) => page.getByRole('row', { name: new RegExp(`^${name} `) });
  await row('web1').waitFor();
  expect(await row('edge-fra-1').innerText()).toMatch(
    /silent[\s\S]*siem: waiting, 3 dead letters[\s\S]*18,402/,
  );
  expect(await row('db1').innerText()).toContain('41');
  expect(await row('queue1').innerText()).toContain('never seen');
  expect(await row('web2').getByRole('button').count()).toBe(0);
  await page.getByRole('button', { name: 'Revoke queue1' }).click();
  expect(await row('queue1').innerText()).toContain('never seen');
  await page.getByRole('button', { name: 'Revoke queue1 for good' }).click();
  await row('queue1').getByText('revoked').waitFor();
});

test('an agent is added with a token that is shown once', async () => {
  await page.getByRole('button', { name: 'Add an agent' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('db1');
  await dialog.getByRole('button', { name: 'Make a token' }).click();
  await dialog.getByRole('alert').waitFor();
  expect(await dialog.getByRole('alert').innerText()).toContain('No token was made');
  await dialog.getByLabel('Name').fill('web9');
  await dialog.getByLabel('logs').check();
  await dialog.getByRole('button', { name: 'Make a token' }).click();
  await dialog.getByText(/^web9\.k7Qm/).waitFor();
  expect(await dialog.innerText()).toContain(`attestry agent enroll ${nodes.url} -`);
  await dialog.getByRole('button', { name: 'Done' }).click();
  expect(await page.getByText('k7Qm').count()).toBe(0);
});

test('what flows in and out is shown with what is wrong', async () => {
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await page.getByRole('heading', { name: 'Sinks' }).waitFor();
  const row = (name: string) => page.getByRole('row', { name: new RegExp(`^${name} `) });
  expect(await row('siem').innerText()).toMatch(
    /waiting, since 21 min[\s\S]*connection refused[\s\S]*18,402/,
  );
  expect(await row('warehouse').innerText()).toContain('halted');
  expect(await row('orders').innerText()).toMatch(
    /cannot fetch from the broker[\s\S]*connected 3 times, 40 came again[\s\S]*expected every 60 min/,
  );
  expect(await row('office').innerText()).toContain('317');
  await row('office').getByRole('button', { name: '12' }).click();
  expect(param('q')).toBe('event_name:gap.malformed event_source:office');
});
