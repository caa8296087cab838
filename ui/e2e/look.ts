/** Pictures of every page in both themes and both sizes, for a person to look at. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { signIn, SIZES, startBrowser, startMock, startServer } from './browser.ts';

export async function look(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const server = await startServer({ liveMs: 400 });
  const fresh = await startMock({ fresh: true, events: 0 });
  for (const theme of ['light', 'dark'] as const) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const browser = await startBrowser(server, theme);
      const page = await browser.open(viewport);
      const shot = async (name: string) => {
        await page.waitForTimeout(350);
        await page.screenshot({ path: join(folder, `${name}-${size}-${theme}.png`) });
      };
      if (!process.env.ATTESTRY_URL) {
        await page.goto(fresh.setupLink);
        await shot('setup');
        await page.goto(server.url);
        await shot('login');
      }
      await signIn(page, server.url, '/search?from=-7d&to=now');
      await page.locator('tr[aria-rowindex], .empty, .first').first().waitFor();
      await shot('search');
      await openDetail(page);
      await shot('detail');
      await page.getByRole('tab', { name: 'Proof' }).click();
      await page.waitForTimeout(500);
      await shot('proof');
      await page.getByRole('tab', { name: 'Raw' }).click();
      await shot('raw');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: /Time range/ }).click();
      await shot('time');
      await page.keyboard.press('Escape');
      await page.getByLabel('Search query').fill('outcome:failure AND (event_name:login.* OR ');
      await page.waitForTimeout(600);
      await shot('error');
      await page.getByLabel('Search query').fill('outcome:failure event_name:');
      await shot('completion');
      await page.getByLabel('Search query').fill('username:nobody');
      await page.keyboard.press('Enter');
      await shot('empty');
      await page.goto(`${server.url}/search?from=-15m&to=now&live=1&by=event_name`);
      await page.waitForTimeout(1500);
      await shot('live');
      await page.goto(`${server.url}/ledgers`);
      await page.getByRole('button', { name: 'Verify now' }).first().click();
      await page.waitForTimeout(1800);
      await shot('ledgers');
      await page.goto(`${server.url}/coverage?from=-7d&to=now`);
      await page.getByRole('grid').focus();
      await shot('coverage');
      await page.keyboard.press('n');
      await page.keyboard.press('Enter');
      await shot('coverage-cell');
      if (!process.env.ATTESTRY_URL) {
        await lookAtDatabases(page, server.url, shot);
        await lookAtAlerts(page, server.url, shot);
        await lookAtReports(page, server.url, shot);
      }
      await page.goto(`${server.url}/agents`);
      await shot('agents');
      if (!process.env.ATTESTRY_URL) {
        await page.getByRole('button', { name: 'Add an agent' }).click();
        await page.getByRole('textbox', { name: /^Name/ }).fill(`look-${theme}-${size}`);
        await page.getByRole('button', { name: 'Make a token' }).click();
        await shot('agent-token');
      }
      await page.goto(`${server.url}/flow`);
      await shot('flow');
      await page.goto(`${server.url}/settings`);
      await shot('settings');
      await page.getByRole('button', { name: 'New key' }).click();
      await shot('newkey');
      await page.getByRole('textbox', { name: /^Name/ }).fill(`look-${theme}-${size}`);
      await page.getByRole('button', { name: 'Create' }).click();
      await shot('keymade');
      await page.goto(`${server.url}/search`);
      await page.keyboard.press('?');
      await shot('help');
      if (size === 'phone') {
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: 'Fields' }).click();
        await shot('fields');
      }
      await browser.stop();
    }
  }
  if (!process.env.ATTESTRY_URL) {
    const browser = await startBrowser(fresh, 'light');
    const page = await browser.open();
    await page.goto(fresh.setupLink);
    await page.getByLabel('User name').fill('dora');
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
    await page.getByLabel('Password again').fill('correct horse battery');
    await page.getByRole('button', { name: 'Set up' }).click();
    await page.getByText('No events yet').waitFor();
    await page.waitForTimeout(400);
    await page.screenshot({ path: join(folder, 'first-desktop-light.png') });
    await page.goto(`${fresh.url}/databases`);
    await page.getByText('No database is watched').waitFor();
    await page.screenshot({ path: join(folder, 'first-databases-desktop-light.png') });
    await browser.stop();
  }
  await server.stop();
  await fresh.stop();
}

export async function lookAtReports(
  page: Page,
  url: string,
  shot: (name: string) => Promise<void>,
): Promise<void> {
  await page.goto(`${url}/reports`);
  await page.getByRole('table', { name: 'Reports that were made' }).waitFor();
  await shot('reports');
  await page.getByRole('button', { name: 'Run breach-scope' }).click();
  await shot('reports-run');
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  // There is no room for it on a phone.
  const schedule = page.getByRole('button', { name: 'Schedule packages' });
  if (await schedule.isVisible()) {
    await schedule.click();
    await shot('reports-schedule');
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
  }
  await page.goto(`${url}/reports?report=rm-0001`);
  await page.frameLocator('iframe').getByRole('heading').waitFor();
  await shot('reports-shown');
}

async function openDetail(page: Page): Promise<void> {
  await page.locator('tr[aria-rowindex]').nth(3).click();
  await page.getByRole('complementary', { name: 'Event' }).waitFor();
}

export async function lookAtDatabases(
  page: Page,
  url: string,
  shot: (name: string) => Promise<void>,
): Promise<void> {
  await page.goto(`${url}/databases`);
  await page.getByRole('grid', { name: 'Violations' }).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await shot('databases');
  await page.keyboard.press('s');
  await page.getByRole('dialog').waitFor();
  await shot('databases-sign-off');
  await page.keyboard.press('Escape');
  // By role it is gone while it still has the focus.
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Enter');
  await page.getByRole('complementary', { name: 'Violation' }).waitFor();
  await shot('databases-violation');
  for (const name of ['history', 'deleted']) {
    if (name === 'deleted') await page.keyboard.press('j');
    await page.getByText(/the newest first/).scrollIntoViewIfNeeded();
    await shot(`databases-${name}`);
  }
  await page.goto(`${url}/databases?watch=bank&state=all`);
  await shot('databases-all');
  await page.goto(`${url}/databases?watch=shop&table=orders`);
  await shot('databases-none');
}

export async function lookAtAlerts(
  page: Page,
  url: string,
  shot: (name: string) => Promise<void>,
): Promise<void> {
  await page.goto(`${url}/alerts`);
  await page.getByRole('grid', { name: 'Alerts' }).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await shot('alerts');
  await page.keyboard.press('s');
  await page.getByRole('dialog').waitFor();
  await shot('alerts-silence');
  await page.keyboard.press('Escape');
  // By role it is gone while it still has the focus.
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Enter');
  await page.getByText('What became of it').waitFor();
  await shot('alerts-detail');
  await page.goto(`${url}/alerts?rules=1`);
  await page.getByRole('table', { name: 'Rules' }).waitFor();
  await shot('alerts-rules');
}
