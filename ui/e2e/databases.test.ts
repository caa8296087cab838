import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { signIn, SIZES, startBrowser, startMock, type Browser, type Server } from './browser.ts';

/** Watched databases in every state, which no real server has on demand. */
let server: Server;
let browser: Browser;
let page: Page;

const grid = () => page.getByRole('grid', { name: 'Violations' });
const rows = () => grid().locator('tr[aria-rowindex]');
const row = (text: string) => rows().filter({ hasText: text }).first();
const drawer = () => page.getByRole('complementary', { name: 'Violation' });
const dialog = () => page.getByRole('dialog');
const heading = () => page.locator('h2[role=status]');
const param = (name: string) => new URL(page.url()).searchParams.get(name);
const press = async (...keys: string[]) => {
  for (const key of keys) await page.keyboard.press(key);
};
const mock = () => {
  if (!server.mock) throw new Error('this is a real server');
  return server.mock;
};

async function open(path: string, size = SIZES.desktop): Promise<void> {
  page = await browser.open(size);
  await signIn(page, server.url, path);
}

beforeAll(async () => {
  server = await startMock({ liveMs: 0 });
  browser = await startBrowser(server);
});
afterAll(async () => {
  await browser.stop();
  await server.stop();
});
beforeEach(async () => {
  await open('/databases');
  await rows().first().waitFor();
});
afterEach(async () => {
  await page.close();
  expect(browser.complaints.splice(0)).toEqual([]);
});

test('databases are shown with how they are doing, and what needs somebody', async () => {
  const watch = (name: string) => page.getByRole('row', { name: new RegExp(`Tables of ${name} ${name}`) });
  expect(await watch('bank').innerText()).toMatch(
    /following[\s\S]*120 ms[\s\S]*bin\.000042:1204711[\s\S]*took 7 min/,
  );
  expect(await watch('shop').innerText()).toMatch(/waiting[\s\S]*18 s/);
  await page.getByText('connection refused (os error 111)').waitFor();
  await page.getByText('Copy in the schema audit refused: permission denied for table').waitFor();
  // Folded, what is wrong with a table is said all the same.
  await page.getByText('has neither a primary nor a unique key').waitFor();
  await page.getByRole('button', { name: 'Tables of bank' }).click();
  const tables = page.getByRole('table', { name: 'Tables of bank' });
  expect(await tables.getByRole('row', { name: /^transfers / }).innerText()).toContain('1,204,118');
});

test('the list is filtered, and the address says how', async () => {
  const all = await heading().innerText();
  await page.getByLabel('Database', { exact: true }).selectOption('shop');
  await expect.poll(() => rows().count()).toBe(1);
  expect(param('watch')).toBe('shop');
  await page.getByRole('table', { name: 'Tables of shop' }).getByRole('button', { name: 'orders' }).click();
  await page.getByText('No violations to look at in the table orders of shop.').waitFor();
  await page.getByText('shop is not being checked at present').waitFor();
  expect(param('table')).toBe('orders');
  await page.getByRole('button', { name: 'All databases and tables' }).click();
  await expect.poll(() => heading().innerText()).toBe(all);
  await page.getByLabel('State').selectOption('signed_off');
  await expect.poll(() => heading().innerText()).toBe('10 violations');
  await page.reload();
  await rows().first().waitFor();
  expect(await page.getByLabel('State').inputValue()).toBe('signed_off');
  expect(await rows().count()).toBe(10);
});

test('the list is virtual, and goes on as it is scrolled', async () => {
  const pending = Number((await heading().innerText()).replace(/\D/g, ''));
  expect(pending).toBeGreaterThan(290);
  expect(await rows().count()).toBeLessThan(80);
  await press('j', 'End');
  await grid().locator('..').getByText('That is all.').waitFor();
  await expect.poll(() => grid().getAttribute('aria-rowcount')).toBe(String(pending));
  await press('End');
  await expect.poll(() => rows().last().getAttribute('aria-rowindex')).toBe(String(pending));
  expect(await rows().last().innerText()).toContain('Carol');
});

test('a violation is opened by keyboard, with its row before and after and its history', async () => {
  await press('j', 'j', 'k', 'o');
  await drawer().waitFor();
  expect(param('violation')).toMatch(/-0000$/);
  const diff = drawer().getByRole('table', { name: 'The row before and after' });
  const line = (name: string) => diff.getByRole('row', { name: new RegExp(`^${name} `) });
  const marked = async (name: string) => (await line(name).locator('.marked').allInnerTexts()).join('|');
  expect(await line('balance').innerText()).toMatch(/differs\s+5\.00\s+500\.00/);
  expect([await marked('balance'), await marked('seal'), await marked('note')]).toEqual([
    '00',
    'ff|fe',
    'w|W',
  ]);
  expect(await line('password').innerText()).toMatch(/masked\s+masked\s*not compared here/);
  expect(await line('iban').innerText()).not.toContain('differs');
  // A long value is cut about its difference.
  const long = line('note').getByRole('cell').nth(0);
  const cut = (await long.innerText()).length;
  await long.getByRole('button', { name: 'show all, 1,411 characters' }).click();
  expect((await long.innerText()).length).toBeGreaterThan(cut + 1000);
  const history = drawer().getByRole('listitem');
  expect(await history.nth(0).innerText()).toMatch(
    /2\s+update\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[\s\S]*app_rw@10\.20\.0\.4[\s\S]*0-1-8790[\s\S]*500\.00/,
  );
  expect(await history.nth(1).innerText()).toMatch(/1\s+baseline/);
  // Along the list with the drawer open, to a row that is gone without the stream having said so.
  await press('j');
  await expect.poll(() => param('violation')).toMatch(/-0001$/);
  await drawer().getByText('unexplained: the change stream did not say it').waitFor();
  expect(
    await drawer()
      .getByRole('row', { name: /^owner / })
      .innerText(),
  ).toContain('U+202E');
  await press('j');
  expect(await diff.getByRole('row', { name: /^note differs / }).innerText()).toMatch(/empty text\s+NULL/);
  expect(await diff.getByRole('row', { name: /^password differs / }).innerText()).toMatch(
    /masked\s+masked\s*it was changed/,
  );
  await press('Escape');
  expect(await drawer().count()).toBe(0);
  expect(param('violation')).toBe(null);
});

test('a link opens the violation, also one that is signed off', async () => {
  await page.goto(`${server.url}/databases?state=signed_off`);
  await rows().first().click();
  const address = new URL(page.url()).searchParams.get('violation');
  await page.goto(`${server.url}/databases?violation=${address}`);
  await drawer().getByText('a typing mistake, corrected by the owner').waitFor();
  expect(
    await drawer()
      .getByRole('button', { name: /^Sign off/ })
      .count(),
  ).toBe(0);
  await page.goto(`${server.url}/databases?violation=nothing`);
  await drawer().getByText('There is no such violation.').waitFor();
});

test('from a violation to the event that opened it, and to those of its row', async () => {
  await row('id=7').click();
  await drawer().getByRole('button', { name: 'All events of this row' }).click();
  expect(param('q')).toBe(
    'event_source:bank event_data.table:accounts (event_data.key.id:7 OR event_data.new_key.id:7)',
  );
  await page.goBack();
  await drawer().getByRole('button', { name: 'Event that opened it' }).click();
  await page.locator('.counts strong').waitFor();
  expect(await page.locator('.counts strong').innerText()).toBe('1 event');
  expect(await page.locator('tr[aria-rowindex]').innerText()).toContain('violation.open');
});

test('a box that was ticked leaves the keys to the list', async () => {
  await row('id=7').getByRole('checkbox').click();
  await page.getByRole('button', { name: 'Sign off 1…' }).waitFor();
  await press('j', 's');
  await dialog().getByText('Sign off 1 violation', { exact: false }).first().waitFor();
  await press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await grid().getByRole('checkbox', { name: 'Select all that are loaded' }).focus();
  await press('Space', 'Escape');
  await expect.poll(() => page.getByRole('button', { name: /^Sign off/ }).count()).toBe(0);
});

test('several are signed off with a reason', async () => {
  const before = Number((await heading().innerText()).replace(/\D/g, ''));
  await press('j', 'j', 'x', 'j', 'x', 's');
  await dialog().waitFor();
  expect(await dialog().innerText()).toContain('Sign off 2 violations');
  // Somebody else is faster.
  const [first = ''] = mock()
    .databases.violations(new URLSearchParams())
    .violations.slice(1)
    .map(({ fingerprint }) => fingerprint);
  mock().databases.signOff([first], 'seen', 'ann');
  await dialog().getByLabel('Why this is all right').fill('checked with the treasurer');
  await dialog().getByRole('button', { name: 'Sign off' }).click();
  expect(await dialog().getByRole('alert').innerText()).toMatch(
    /already, by ann[\s\S]*Nothing was signed off/,
  );
  await dialog().getByRole('button', { name: 'Cancel' }).click();
  await page.reload();
  await rows().first().waitFor();
  await press('j', 'j', 'x', 'j', 'x', 's');
  await dialog().getByLabel('Why this is all right').fill('checked with the treasurer');
  await press('Control+Enter');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await expect.poll(() => heading().innerText()).toBe(`${before - 3} pending`);
  // The keys go on where the signed-off ones were.
  await press('j', 'o');
  await expect.poll(() => page.getByRole('complementary').innerText()).toContain('transfers');
  await page.goto(`${server.url}/databases?state=signed_off`);
  await expect.poll(() => heading().innerText()).toBe('13 violations');
});

test('what is open says that it is signed off when it is', async () => {
  await page.goto(`${server.url}/databases?table=order_lines`);
  await rows().first().click();
  await expect.poll(() => drawer().getByRole('row').count()).toBeLessThan(8);
  await drawer()
    .getByRole('button', { name: /columns that are equal/ })
    .click();
  expect(await drawer().getByRole('row').count()).toBeGreaterThan(14);
  await drawer()
    .getByRole('button', { name: /^Sign off/ })
    .click();
  await dialog().getByLabel('Why this is all right').fill('the price was agreed by telephone');
  await dialog().getByRole('button', { name: 'Sign off' }).click();
  await drawer().getByText('the price was agreed by telephone').waitFor();
  await page.getByText('No violations to look at in the table order_lines.').waitFor();
});

test('a paused table goes on after its change is signed off', async () => {
  await page.getByText('ALTER TABLE customers ADD COLUMN').waitFor();
  await page.getByRole('button', { name: 'Resume bank.customers' }).click();
  await dialog().getByLabel('Why this change is all right').fill('release 4.2');
  await dialog().getByRole('button', { name: 'Sign off and resume' }).click();
  await page.locator('dialog').waitFor({ state: 'detached' });
  await expect.poll(() => page.getByText('ALTER TABLE customers').count()).toBe(0);
});

test('a copy that cannot be read is named, and the others are listed', async () => {
  const all = await rows().count();
  mock().databases.damage('shop');
  try {
    await page.reload();
    await page
      .getByRole('alert')
      .filter({ hasText: 'Without the violations of shop: its copy cannot be read: disk I/O error' })
      .waitFor();
    await rows().first().waitFor();
    expect(all).toBeGreaterThan(0);
  } finally {
    mock().databases.damage(null);
  }
  await page.getByRole('alert').waitFor({ state: 'detached' });
});

test('new violations wait while somebody reads', async () => {
  await rows().nth(2).click();
  mock().databases.open();
  await page.getByRole('button', { name: '1 violation waiting' }).waitFor();
  expect(await row('id=77').count()).toBe(0);
  await press('Escape');
  await row('id=77').waitFor();
});

test('who may not sign off sees why', async () => {
  const other = await startMock({ liveMs: 0, role: 'auditor' });
  const their = await startBrowser(other);
  const page = await their.open();
  await signIn(page, other.url, '/databases');
  await page.getByText('Only administrators sign off.').waitFor();
  await page.getByText('An administrator can resume it.').waitFor();
  expect(await page.getByRole('checkbox').count()).toBe(0);
  await page.keyboard.press('j');
  await page.keyboard.press('s');
  await page
    .getByRole('status')
    .filter({ hasText: /^Only administrators sign off$/ })
    .waitFor();
  await page.keyboard.press('o');
  const button = page.getByRole('complementary').getByRole('button', { name: /^Sign off/ });
  expect(await button.isDisabled()).toBe(true);
  expect(their.complaints).toEqual([]);
  await their.stop();
  await other.stop();
});

test('without a database the page says how to watch one', async () => {
  const fresh = await startMock({ fresh: true, events: 0 });
  const their = await startBrowser(fresh);
  const page = await their.open();
  await page.goto(fresh.setupLink);
  await page.getByLabel('User name').fill('dora');
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
  await page.getByLabel('Password again').fill('correct horse battery');
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await page.getByText('No database is watched').waitFor();
  await page.getByRole('button', { name: 'Copy: Configuration' }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(
    /^audit:\n {2}bank:\n {4}url: mysql:\/\/auditor@127\.0\.0\.1:3306\/bank\n {4}password: \{file: /,
  );
  await page.getByText('attestry db check').waitFor();
  expect(their.complaints).toEqual([]);
  await their.stop();
  await fresh.stop();
});

test('it works on a phone', async () => {
  await page.close();
  await open('/databases', SIZES.phone);
  await rows().first().waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(SIZES.phone.width);
  const watches = page.getByRole('table', { name: 'Watched databases' });
  expect((await watches.boundingBox())?.width).toBeLessThan(SIZES.phone.width);
  await rows().nth(1).click();
  expect(await drawer().boundingBox()).toMatchObject({ x: 0, width: SIZES.phone.width });
  await drawer().getByRole('button', { name: 'Back to the list' }).click();
  expect(await drawer().count()).toBe(0);
});
