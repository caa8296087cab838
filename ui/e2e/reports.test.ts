import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { signIn, SIZES, startBrowser, startMock, type Browser, type Server } from './browser.ts';

let server: Server;
let browser: Browser;
let page: Page;

const made = () => page.getByRole('table', { name: 'Reports that were made' });
const pane = () => page.getByRole('complementary', { name: 'Report' });
const dialog = () => page.getByRole('dialog');
const param = (name: string) => new URL(page.url()).searchParams.get(name);

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
  await open('/reports');
  await made().waitFor();
});
afterEach(async () => {
  await page.close();
  // The report in the frame tries to run and to load something, which the browser refuses and says.
  const own = browser.complaints
    .splice(0)
    .filter((line) => !/Blocked script execution|elsewhere\.example|violates.*directive/i.test(line));
  expect(own).toEqual([]);
});

test('a report is made with its parameters, and shown', async () => {
  await page.getByRole('button', { name: 'Run breach-scope' }).click();
  await dialog().getByRole('button', { name: 'Make it' }).click();
  // It asks who before it asks the server.
  expect(
    await dialog()
      .getByRole('textbox', { name: /^who/ })
      .evaluate((input: HTMLInputElement) => input.validity.valueMissing),
  ).toBe(true);
  await dialog().getByRole('textbox', { name: /^who/ }).fill('mallory');
  expect(await dialog().getByRole('textbox', { name: 'From' }).inputValue()).toBe('-30d');
  await dialog().getByRole('button', { name: 'Make it' }).click();
  await pane().getByText('Breach scope of mallory', { exact: true }).waitFor();
  expect(param('report')).toBe('run-12');
  expect(await made().getByRole('row').count()).toBe(14);
});

test('in its frame nothing runs and nothing is loaded', async () => {
  await made().getByRole('button', { name: 'Violations' }).first().click();
  const frame = page.frameLocator('iframe');
  await frame.getByRole('heading', { name: 'Violations' }).waitFor();
  expect(await page.locator('iframe').getAttribute('sandbox')).toBe('');
  expect(await frame.locator('title').textContent()).toBe('Violations');
  expect(await frame.locator('img').evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(0);
  await page.keyboard.press('Escape');
  await pane().waitFor({ state: 'detached' });
});

test('the history is gone through by keyboard, and the address says which report is shown', async () => {
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('o');
  await pane().waitFor();
  expect(param('report')).toBe('rm-0000');
  await page.keyboard.press('j');
  await expect.poll(() => param('report')).toBe('rm-0001');
  await page.reload();
  await pane().getByText('39 entries with their proofs').waitFor();
  const download = page.waitForEvent('download');
  await pane().getByRole('link', { name: 'HTML' }).click();
  expect((await download).suggestedFilename()).toBe('report.html');
});

test('a report is scheduled, changed and removed; one of the configuration is not', async () => {
  const schedules = page.getByRole('table', { name: 'Schedules' });
  const row = (name: string) => schedules.getByRole('row', { name: new RegExp(`^${name} `) });
  expect(await row('nightly').innerText()).toMatch(
    /office[\s\S]*signed by auditor@example.org[\s\S]*configuration/,
  );
  expect(await row('nightly').getByRole('button').count()).toBe(0);
  await page.getByRole('button', { name: 'Schedule packages' }).click();
  const field = (name: string) => dialog().getByRole('textbox', { name });
  await field('Name').fill('weekly');
  await dialog().getByRole('combobox', { name: /^When/ }).fill('0 6');
  await dialog().getByRole('button', { name: 'Schedule', exact: true }).click();
  await dialog().getByText('is no line of a crontab').waitFor();
  await dialog().getByRole('combobox', { name: /^When/ }).fill('0 6 * * 1');
  await field('Folder on the server').fill('/srv/weekly');
  await dialog().getByRole('checkbox', { name: 'csv' }).check();
  await dialog().getByRole('button', { name: 'Schedule', exact: true }).click();
  await row('weekly').waitFor();
  await row('weekly').getByRole('button', { name: 'Change weekly' }).click();
  expect(await dialog().getByRole('checkbox', { name: 'csv' }).isChecked()).toBe(true);
  await field('Folder on the server').fill('/srv/other');
  await dialog().getByRole('button', { name: 'Change', exact: true }).click();
  await row('weekly').getByText('/srv/other').waitFor();
  await row('weekly').getByRole('button', { name: 'Remove weekly' }).click();
  await row('weekly').waitFor({ state: 'detached' });
});

test('an auditor reads and runs, and schedules nothing', async () => {
  const other = await startMock({ liveMs: 0, role: 'auditor' });
  await page.close();
  page = await browser.open();
  await signIn(page, other.url, '/reports');
  await made().waitFor();
  expect(await page.getByRole('button', { name: /^Schedule / }).count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Run packages' }).count()).toBe(1);
  await other.stop();
  // To another server than the browser was started for.
  browser.complaints.splice(0);
});

test('on a phone nothing is cut off', async () => {
  await page.close();
  await open('/reports', SIZES.phone);
  await made().waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
});

/** What the program itself writes: the expected page of its own tests. */
const REPORT = fileURLToPath(
  new URL('../../crates/report/tests/reports/expected/logins.html', import.meta.url),
);

test('a real report needs nothing else, and prints to A4', async () => {
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`file://${REPORT}`);
  await page.getByRole('heading', { name: 'Logins and privileged use' }).waitFor();
  expect(asked).toEqual([`file://${REPORT}`]);
  // Wide tables wrap; no text leaves the page.
  expect(
    await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
  ).toBeLessThanOrEqual(0);
  const pdf = await page.pdf({ preferCSSPageSize: true });
  const text = pdf.toString('latin1');
  // A4 in points, as Chromium rounds it.
  expect(text).toMatch(/MediaBox \[0 0 59[45](\.\d+)? 84[12](\.\d+)?\]/);
  const pages = text.match(/\/Type \/Page\b/g)?.length ?? 0;
  expect(pages).toBeGreaterThan(1);
  expect(pages).toBeLessThan(12);
  const inside = page.locator('#attestry-report');
  expect(
    (JSON.parse((await inside.textContent()) ?? '') as { attestry_report: number }).attestry_report,
  ).toBe(1);
  browser.complaints.splice(0);
  expect(readFileSync(REPORT, 'utf8')).not.toMatch(/(?:href|src)=|url\(|@import/);
});

/** A picture's pixels in figures, as the browser itself decodes it. */
async function painted(png: Buffer) {
  const reader = await browser.open();
  const found = await reader.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context?.drawImage(image, 0, 0);
    const pixels = context?.getImageData(0, 0, width, height).data ?? [];
    let [ink, coloured, atEdge] = [0, 0, 0];
    for (let at = 0; at < pixels.length; at += 4) {
      const [red = 0, green = 0, blue = 0] = pixels.slice(at, at + 3);
      if (red + green + blue > 3 * 160) continue;
      ink++;
      if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) coloured++;
      if ((at / 4) % width >= width - 8) atEdge++;
    }
    return { width, height, ink: ink / (width * height), coloured, atEdge };
  }, png.toString('base64'));
  await reader.close();
  return found;
}

test('a real report is a picture of a page: its heading, its text and its charts, nothing beyond the edge', async () => {
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  await page.goto(`file://${REPORT}`);
  // What a page of A4 leaves between its margins, 182 mm, at 96 dots an inch.
  await page.setViewportSize({ width: 688, height: 1000 });
  await page.emulateMedia({ media: 'print' });
  expect(await width()).toBeLessThanOrEqual(688);
  // The whole page, with margins that nothing may reach into.
  await page.setViewportSize({ width: 794, height: 1123 });
  await page.emulateMedia({ media: 'screen' });
  expect(await width()).toBeLessThanOrEqual(794);
  const heading = page.getByRole('heading', { name: 'Logins and privileged use' });
  const box = await heading.boundingBox();
  expect(box && box.x >= 0 && box.y >= 0 && box.x + box.width <= 794 && box.y + box.height <= 1123).toBe(
    true,
  );
  const title = await painted(await heading.screenshot());
  expect(title.ink).toBeGreaterThan(0.005);
  const folder = process.env.LOOK;
  const all = await painted(
    await page.screenshot({
      fullPage: true,
      ...(folder && { path: join(folder, 'report-logins-a4.png') }),
    }),
  );
  expect(all.width).toBe(794);
  expect(all.height).toBeGreaterThan(1123);
  // Some of it is text and most of it is paper.
  expect(all.ink).toBeGreaterThan(0.005);
  expect(all.ink).toBeLessThan(0.3);
  const chart = await painted(await page.locator('svg').first().screenshot());
  expect(chart.coloured).toBeGreaterThan(100);
  expect(all.atEdge).toBe(0);
  browser.complaints.splice(0);
});
