import { expect, test } from 'vitest';
import { makerWords, protection, targets, windowBound, windowWords } from './reports';

test.each([
  [604_800, '7 days', '-7d'],
  [86_400, '1 day', '-1d'],
  [28_800, '8 hours', '-8h'],
  [90, '90 seconds', '-90s'],
])('%i seconds', (seconds, words, bound) => {
  expect([windowWords(seconds), windowBound(seconds)]).toEqual([words, bound]);
});

test('where a report goes and who can read it', () => {
  const planned = { report: 'a', cron: '0 6 * * *', zone: 'UTC', formats: ['html'] };
  expect(targets(planned)).toBe('nowhere: kept in the history');
  expect(targets({ ...planned, folder: '/srv', sinks: ['office'] })).toBe('/srv, office');
  expect(protection(planned)).toBe('');
  expect(protection({ ...planned, sign_with: 'a@b', encrypt_to: ['c@d', 'e@f'] })).toBe(
    'signed by a@b, for c@d, e@f only',
  );
});

test('who made a report', () => {
  expect(makerWords({ by: 'dora', schedule: 'nightly' })).toBe('dora');
  expect(makerWords({ by: '-', schedule: 'nightly' })).toBe('Attestry');
  expect(makerWords({ by: '-' })).toBe('command line');
});
