import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { parseProof, verifyProof } from '../src/lib/proof.ts';
import {
  ACCOUNT,
  seed,
  signIn,
  SIZES,
  startBrowser,
  startServer,
  type Browser,
  type Server,
} from './browser.ts';

let server: Server;
let browser: Browser;
let page: Page;

const rows = () => page.locator('tr[aria-rowindex]');
const drawer = () => page.getByRole('complementary', { name: 'Event' });
const query = () => page.getByLabel('Search query');
const total = async () => Number((await page.locator('.counts strong').innerText()).replace(/\D/g, ''));
const param = (name: string) => new URL(page.url()).searchParams.get(name);

/** Asks again until the answer is the expected one. */
async function eventually<T>(
  ask: () => Promise<T> | T,
  expected: T | ((value: T) => boolean),
): Promise<void> {
  const good = expected instanceof Function ? expected : (value: T) => value === expected;
  const until = Date.now() + 8000;
  let last = await ask();
  while (!good(last) && Date.now() < until) {
    await new Promise((done) => setTimeout(done, 40));
    last = await ask();
  }
  if (expected instanceof Function) expect(expected(last), `got ${String(last)}`).toBe(true);
  else expect(last).toBe(expected);
}

beforeAll(async () => {
  server = await startServer({ liveMs: 0 });
  browser = await startBrowser(server);
  if (!server.mock) {
    page = await browser.open();
    await signIn(page, server.url, '/search');
    await seed(page);
    await page.close();
  }
});
afterAll(async () => {
  await browser.stop();
  await server.stop();
});
beforeEach(async () => {
  page = await browser.open();
  await page.goto(server.url);
  await page.evaluate(() => localStorage.clear());
  await signIn(page, server.url, '/search');
  await rows().first().waitFor();
});
afterEach(async () => {
  await page.close();
  expect(browser.complaints.splice(0)).toEqual([]);
});

test('a search narrows list, count and address, and going back widens them again', async () => {
  const all = await total();
  await query().fill('event_name:invoice.update');
  await query().press('Enter');
  await eventually(total, (n) => n > 0 && n < all);
  expect(param('q')).toBe('event_name:invoice.update');
  const names = await rows().locator('td:nth-child(2)').allInnerTexts();
  expect(new Set(names)).toEqual(new Set(['invoice.update']));
  await page.goBack();
  // A real host goes on while it is tested.
  await eventually(total, (n) => n >= all);
  expect(await query().inputValue()).toBe('');
});

test('an error is underlined at its position, and the results before stay', async () => {
  await query().fill('é outcome:failure (username:alice');
  await eventually(
    () =>
      page
        .locator('.mirror .wrong')
        .first()
        .isVisible()
        .catch(() => false),
    true,
  );
  const marked = (await page.locator('.mirror .wrong').allInnerTexts()).join('');
  expect('é outcome:failure (username:alice'.indexOf(marked)).toBeGreaterThanOrEqual(18);
  expect(marked.startsWith('(')).toBe(true);
  await query().press('Enter');
  await page.getByRole('alert').waitFor();
  expect(await page.getByRole('alert').innerText()).toContain('Below is the search before');
  // It is said once, and the line below stays free.
  expect(await page.locator('#query-verdict').getAttribute('class')).toContain('offscreen');
  expect(await rows().count()).toBeGreaterThan(5);
});

test('a hint stands beside the count and covers nothing', async () => {
  await page.route('**/api/v1/query?**', (route) =>
    route.fulfill({
      json: { ok: true, hints: [{ position: 0, length: 7, message: 'did you mean username?' }] },
    }),
  );
  await query().fill('usrname:alice');
  await query().press('Enter');
  await page.locator('.counts').getByText('did you mean username?').waitFor();
  await page.locator('.empty').getByText('did you mean username?').waitFor();
  expect(await page.locator('#query-verdict').getAttribute('class')).toContain('offscreen');
});

test('fields and values complete by keyboard', async () => {
  await query().pressSequentially('usern');
  await page.getByRole('option').first().waitFor();
  await query().press('Tab');
  await eventually(() => query().inputValue(), 'username:');
  await query().pressSequentially('ali');
  await page.getByRole('option', { name: /alice/ }).waitFor();
  await query().press('ArrowDown');
  await query().press('Enter');
  await eventually(() => query().inputValue(), 'username:alice ');
  await query().press('Enter');
  await eventually(() => param('q'), 'username:alice');
});

test('the table is virtual, loads on as it is scrolled, and says how many there are', async () => {
  const all = await total();
  expect(all).toBeGreaterThan(1000);
  expect(await rows().count()).toBeLessThan(80);
  expect(
    await rows()
      .first()
      .evaluate((row) => row.getBoundingClientRect().height),
  ).toBe(28);
  const scroller = page.locator('.scroller');
  for (let i = 0; i < 4; i++) {
    await scroller.evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await page.waitForTimeout(150);
  }
  await eventually(
    async () =>
      Number(/([\d,]+) loaded/.exec(await page.locator('.counts').innerText())?.[1]?.replace(/\D/g, '')),
    (n) => n >= 600,
  );
  expect(await rows().count()).toBeLessThan(80);
});

test('keys: rows, detail, filters, help, pages', async () => {
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  expect(await page.locator('tr[aria-selected="true"]').getAttribute('aria-rowindex')).toBe('2');
  await page.keyboard.press('k');
  expect(await page.locator('tr[aria-selected="true"]').getAttribute('aria-rowindex')).toBe('1');
  await page.keyboard.press('Enter');
  await drawer().waitFor();
  const first = param('event');
  await page.keyboard.press('j');
  await eventually(() => param('event') !== first, true);
  await page.keyboard.press('Escape');
  await eventually(() => drawer().count(), 0);
  const name = await page.locator('tr[aria-selected="true"] td:nth-child(2)').innerText();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('f');
  await eventually(() => param('q'), `event_name:${name}`);
  await rows().first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await eventually(() => param('q'), `-event_name:${name}`);
  await page.keyboard.press('/');
  expect(await query().evaluate((element) => element === document.activeElement)).toBe(true);
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await page.getByRole('heading', { name: 'Ledgers' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await rows().first().waitFor();
});

test('detail: filters from the tree, columns, copying', async () => {
  await query().fill('event_name:invoice.*');
  await query().press('Enter');
  await eventually(() => param('q'), 'event_name:invoice.*');
  await page.waitForTimeout(200);
  await rows().first().click();
  await drawer().waitFor();
  const line = drawer().getByRole('row', { name: /^status/ });
  const status = (await line.locator('td').first().innerText()).trim();
  await line.hover();
  await line.getByRole('button', { name: 'Column event_data.status' }).click();
  await page.getByRole('columnheader', { name: /^status/ }).waitFor();
  expect(new URL(page.url()).searchParams.getAll('col')).toContain('event_data.status:140');
  await line.hover();
  await line.getByRole('button', { name: 'Filter for event_data.status' }).click();
  await eventually(() => param('q'), `event_name:invoice.* event_data.status:${status}`);
  await drawer().getByRole('button', { name: 'Copy as JSON' }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(JSON.parse(copied)).toMatchObject({ v: 1, event_data: { status: Number(status) } });
  await page.getByText('Event copied').waitFor();
});

test('numbers beyond a double are shown as they were written', async () => {
  await query().fill('event_data.amount_minor:9007199254740992');
  await page.goto(`${server.url}/search?q=event_data.amount_minor:>=9007199254740992&from=all`);
  await rows().first().click();
  await drawer()
    .getByRole('row', { name: /^amount_minor/ })
    .waitFor();
  expect(
    await drawer()
      .getByRole('row', { name: /^amount_minor/ })
      .innerText(),
  ).toContain('9007199254740993');
});

test('a proof is checked in the browser, and its files check elsewhere', async () => {
  await rows().nth(2).click();
  await drawer().getByRole('tab', { name: 'Proof' }).click();
  await drawer().getByText('Verified in this browser').waitFor();
  const folder = mkdtempSync(join(tmpdir(), 'attestry-proof-'));
  const files: Record<string, string> = {};
  for (const name of ['Proof', 'Event', 'Pin']) {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      drawer().getByRole('button', { name, exact: true }).click(),
    ]);
    const path = join(folder, download.suggestedFilename());
    await download.saveAs(path);
    files[name] = path;
    expect(await drawer().locator('.command code').innerText()).toContain(download.suggestedFilename());
  }
  const command = (await drawer().locator('.command code').innerText()).split(/\s+/);
  expect(command[0]).toBe('attestry');
  // ATTESTRY_BIN: the installed program checks the same files by the very command that is shown.
  if (process.env.ATTESTRY_BIN) execFileSync(process.env.ATTESTRY_BIN, command.slice(1), { cwd: folder });
  const read = (name: string) => readFileSync(files[name] ?? '');
  const vkey = read('Pin').toString().split('\n')[0] ?? '';
  const done = await verifyProof(read('Event'), parseProof(read('Proof').toString()), vkey);
  expect(`${done.origin.split('/')[1]}/${done.index}`).toBe(param('event'));
});

test('a proof that does not fit is said to be none', async () => {
  await page.route('**/raw', async (route) => {
    const answer = await route.fetch();
    await route.fulfill({
      response: answer,
      body: (await answer.text()).replace('"username":"', '"username":"x'),
    });
  });
  await rows().nth(2).click();
  await drawer().getByRole('tab', { name: 'Proof' }).click();
  await drawer()
    .getByText(/Not proved: the path from this entry/)
    .waitFor();
  expect(await drawer().getByText('Verified in this browser').count()).toBe(0);
});

test('histogram: drag zooms, double-click goes back', async () => {
  await page.goto(`${server.url}/search?from=-7d&to=now`);
  await rows().first().waitFor();
  const before = await total();
  const box = await page.locator('.u-over').boundingBox();
  if (!box) throw new Error('no histogram');
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.5, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y);
  await page.mouse.move(box.x + box.width * 0.8, y);
  await page.mouse.up();
  await eventually(() => /^\d{4}-/.test(param('from') ?? ''), true);
  await eventually(total, (n) => n < before);
  await page.locator('.u-over').dblclick();
  await eventually(() => param('from'), '-7d');
});

test('histogram: stacked by another field; its layers filter', async () => {
  await page.getByLabel('stacked by').selectOption('severity');
  await page.getByRole('list', { name: 'Layers' }).getByRole('button', { name: 'error' }).waitFor();
  expect(param('by')).toBe('severity');
  await page.getByRole('list', { name: 'Layers' }).getByRole('button', { name: 'error' }).click();
  await eventually(() => param('q'), 'severity:3');
});

test('fields: top values filter for, with a modifier out; missing ones too', async () => {
  const panel = page.getByRole('region', { name: 'Fields' });
  await panel
    .getByRole('button', { name: /root/ })
    .first()
    .click({ modifiers: ['Shift'] });
  await eventually(() => param('q'), '-username:root');
  await panel.getByRole('button', { name: /alice/ }).first().click();
  await eventually(() => param('q'), '-username:root username:alice');
  await page.goto(`${server.url}/search?from=all`);
  await panel
    .getByRole('button', { name: /^without/ })
    .first()
    .click();
  await eventually(() => param('q')?.includes('-outcome:*'), true);
});

test('time: presets, typed bounds in the reader’s zone, UTC', async () => {
  await page.keyboard.press('t');
  await page.getByRole('button', { name: 'Last 24 hours' }).click();
  await eventually(() => param('from'), '-24h');
  await page.keyboard.press('t');
  await page.getByLabel('From', { exact: true }).fill('2026-07-01 10:00');
  await page.getByLabel('To', { exact: true }).fill('lunch');
  expect(await page.getByRole('button', { name: 'Apply' }).isDisabled()).toBe(true);
  await page.getByLabel('To', { exact: true }).fill('2026-07-01 11:00');
  await page.getByRole('button', { name: 'Apply' }).click();
  // The browser of these tests is in Berlin, two hours ahead in July.
  await eventually(() => param('from'), '2026-07-01T08:00:00.000Z');
  await page.getByText('No events match').waitFor();
  await page.getByRole('button', { name: 'Search all time' }).click();
  await rows().first().waitFor();
  const local = await rows().first().locator('td').first().innerText();
  await page.keyboard.press('t');
  await page.getByLabel('Times shown in').selectOption('UTC');
  await page.keyboard.press('Escape');
  await eventually(async () => (await rows().first().locator('td').first().innerText()) !== local, true);
});

test('columns: resized by dragging, moved and removed, all in the address', async () => {
  const handle = page.getByRole('separator', { name: 'Width of event_name' });
  const box = await handle.boundingBox();
  if (!box) throw new Error('no handle');
  await page.mouse.move(box.x + 4, box.y + 8);
  await page.mouse.down();
  await page.mouse.move(box.x + 64, box.y + 8, { steps: 4 });
  await page.mouse.up();
  const columns = () => new URL(page.url()).searchParams.getAll('col');
  expect(columns()[0]).toBe('event_name:220');
  await page
    .getByRole('columnheader', { name: /username/ })
    .getByRole('button')
    .click();
  await page.getByRole('button', { name: 'Move left' }).click();
  expect(columns().map((c) => c.split(':')[0])).toEqual(['username', 'event_name', 'resource', 'message']);
  await page
    .getByRole('columnheader', { name: /resource/ })
    .getByRole('button')
    .click();
  await page.getByRole('button', { name: 'Remove the column' }).click();
  expect(columns().map((c) => c.split(':')[0])).toEqual(['username', 'event_name', 'message']);
});

test('a link carries the whole view', async () => {
  const link =
    '/search?q=outcome:failure&from=-30d&to=now&ledger=audit&col=username:100&col=event_data.status:80&by=event_name&order=asc';
  await page.goto(server.url + link);
  await rows().first().click();
  await drawer().waitFor();
  const other = await browser.open();
  await other.goto(page.url());
  await other.getByRole('complementary', { name: 'Event' }).waitFor();
  expect(await other.getByLabel('Search query').inputValue()).toBe('outcome:failure');
  expect(await other.getByRole('columnheader').allInnerTexts()).toEqual(
    expect.arrayContaining(['username', 'status']),
  );
  expect(await other.getByRole('complementary', { name: 'Event' }).innerText()).toContain(param('event'));
  await other.close();
});

test('an export says how many, and holds as many', async () => {
  await page.goto(`${server.url}/search?q=event_name:invoice.update&from=all`);
  await rows().first().waitFor();
  const all = await total();
  await page.getByRole('button', { name: 'Export' }).click();
  expect((await page.locator('.panel').innerText()).replace(/,/g, '')).toContain(`${all} event`);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByText(/^NDJSON/).click()]);
  const file = join(mkdtempSync(join(tmpdir(), 'attestry-export-')), 'events.ndjson');
  await download.saveAs(file);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(all);
  expect(lines.every((line) => line.includes('"event_name":"invoice.update"'))).toBe(true);
});

test('ledgers: what they hold, and a verification', async () => {
  await page.goto(`${server.url}/ledgers`);
  await page.getByRole('heading', { name: 'audit' }).waitFor();
  await page.getByRole('button', { name: 'Verify now' }).first().click();
  await page
    .getByText(/nothing damaged or missing/)
    .first()
    .waitFor();
});

test('keys: made, shown once, revoked by two clicks', async () => {
  await page.goto(`${server.url}/settings`);
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByRole('textbox', { name: /^Name/ }).fill('ci');
  await page.getByRole('combobox', { name: /^Sends something/ }).selectOption('every hour');
  await page.getByRole('button', { name: 'Create' }).click();
  const secret = await page.getByRole('dialog').locator('.command code').first().innerText();
  expect(secret.length).toBeGreaterThan(20);
  await page.getByRole('button', { name: 'I have it' }).click();
  const row = page.getByRole('row', { name: /^ci/ });
  await row.waitFor();
  expect(await row.innerText()).toContain('events never, expected every 60 min');
  expect(await page.content()).not.toContain(secret);
  await row.getByRole('button', { name: 'Revoke ci' }).click();
  await row.getByRole('button', { name: 'Revoke ci for good' }).click();
  await eventually(() => row.count(), 0);
});

test('themes follow the system and can be switched', async () => {
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  expect(await background()).toBe('rgb(255, 255, 255)');
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await background()).not.toBe('rgb(255, 255, 255)');
  await page.getByRole('button', { name: 'You', exact: true }).click();
  await page.getByRole('button', { name: 'Light', exact: true }).click();
  expect(await background()).toBe('rgb(255, 255, 255)');
});

test('a session that ends keeps what is on the page', async () => {
  await query().fill('outcome:failure');
  await query().press('Enter');
  await eventually(() => param('q'), 'outcome:failure');
  await page.evaluate(async () => {
    const { csrf } = (await (await fetch('/api/v1/session')).json()) as { csrf: string };
    await fetch('/api/v1/session', { method: 'DELETE', headers: { 'X-CSRF-Token': csrf } });
  });
  // Some other request may have found out already, and the dialog then covers the button.
  await page.getByRole('button', { name: 'Search again' }).dispatchEvent('click');
  await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
  expect(await rows().count()).toBeGreaterThan(5);
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('dialog').getByRole('alert').waitFor();
  await page.getByLabel('Password').fill(ACCOUNT.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await eventually(() => page.getByRole('heading', { name: 'Sign in again' }).count(), 0);
  expect(param('q')).toBe('outcome:failure');
});

test('a phone has the list and the detail one at a time', async () => {
  await page.setViewportSize(SIZES.phone);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(SIZES.phone.width);
  await rows().nth(1).click();
  const box = await drawer().boundingBox();
  expect(box).toMatchObject({ x: 0, width: SIZES.phone.width });
  await drawer().getByRole('button', { name: 'Back to the list' }).click();
  await eventually(() => drawer().count(), 0);
  // No page's name runs into the next one.
  const names = page.getByRole('navigation', { name: 'Pages' }).locator('a span');
  const ends = await names.evaluateAll((all) => all.map((name) => name.getBoundingClientRect()));
  expect(ends.length).toBe(9);
  ends.forEach(({ left }, i) => expect(left).toBeGreaterThanOrEqual(ends[i - 1]?.right ?? 0));
});

test('nothing is written with markup from an event', async () => {
  await page.route('**/api/v1/events?**', async (route) => {
    const answer = await route.fetch();
    const hostile = '<img src=x onerror=document.title=1><script>document.title=1</script>';
    const body = (await answer.text()).replaceAll(
      '"username":"alice"',
      `"username":${JSON.stringify(hostile)}`,
    );
    await route.fulfill({ response: answer, body });
  });
  await query().fill('username:alice');
  await query().press('Enter');
  await page.getByText('<img src=x').first().waitFor();
  expect(await page.title()).toContain('Attestry');
  expect(await page.locator('main img').count()).toBe(0);
});

test('what would turn a text around, or would not be seen, is shown by its name', async () => {
  await page.route('**/api/v1/events?**', async (route) => {
    const answer = await route.fetch();
    const body = (await answer.text()).replaceAll('"username":"alice"', '"username":"\\u202eecila\\u0000"');
    await route.fulfill({ response: answer, body });
  });
  await query().fill('username:alice');
  await query().press('Enter');
  await rows().filter({ hasText: '⟨U+202E⟩ecila⟨U+0000⟩' }).first().click();
  await drawer().getByText('⟨U+202E⟩ecila⟨U+0000⟩').first().waitFor();
});
