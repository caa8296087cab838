import { afterEach, expect, test, vi } from 'vitest';
import { violations } from './violations.svelte';
import { watchApi, type Violation, type ViolationPage, type Wanted } from './watch-api';

vi.mock('./search.svelte', () => ({ asApiError: (error: unknown) => error }));

const one = (fingerprint: string): Violation => ({
  fingerprint,
  watch: 'bank',
  table: 'accounts',
  key: [],
  rule: 'default',
  description: '',
  opened: fingerprint,
  last_seen: fingerprint,
  count: 1,
});
const page = (names: string[], more = false): ViolationPage => ({ violations: names.map(one), more });
const of = (table: string): Wanted => ({ watch: '', table, state: 'pending' });
const shown = () => violations.list.map(({ fingerprint }) => fingerprint).join(' ');

afterEach(() => vi.restoreAllMocks());

test('a slow answer is waited for, and takes the place of what was wanted before', async () => {
  const ask = vi.spyOn(watchApi, 'violations').mockResolvedValueOnce(page(['9', '8'], true));
  await violations.ask(of('a'));
  let answer: (page: ViolationPage) => void = () => {};
  ask.mockReturnValueOnce(new Promise((done) => (answer = done)));
  const asked = violations.ask(of('b'));
  await violations.refresh();
  await violations.next();
  expect(ask).toHaveBeenCalledTimes(2);
  answer(page(['5']));
  await asked;
  expect(shown()).toBe('5');
});

test('what another table had does not come into the list after a failure', async () => {
  const ask = vi.spyOn(watchApi, 'violations').mockResolvedValueOnce(page(['9', '1'], true));
  await violations.ask(of('a'));
  ask.mockRejectedValueOnce(new Error('gone'));
  await violations.ask(of('b'));
  expect([shown(), violations.failure]).toEqual(['9 1', new Error('gone')]);
  ask.mockResolvedValueOnce(page(['5', '4'], true));
  await violations.refresh();
  expect([shown(), violations.failure]).toEqual(['5 4', null]);
});

test('what the list lacks is said until it is whole', async () => {
  const unreadable = [{ watch: 'shop', why: 'disk I/O error' }];
  const ask = vi.spyOn(watchApi, 'violations').mockResolvedValueOnce({ ...page(['9']), unreadable });
  await violations.ask(of('a'));
  expect([shown(), violations.unreadable]).toEqual(['9', unreadable]);
  ask.mockResolvedValueOnce(page(['9', '8']));
  await violations.refresh();
  expect([shown(), violations.unreadable]).toEqual(['9 8', []]);
});

test('keys go on from where a violation was that is signed off', async () => {
  const ask = vi.spyOn(watchApi, 'violations').mockResolvedValue(page(['9', '8', '7', '6']));
  await violations.ask(of('a'));
  violations.step(1);
  violations.step(1);
  expect(violations.cursor).toBe('8');
  violations.toggle('8');
  vi.spyOn(watchApi, 'signOff').mockResolvedValue({ signed_off: 1 });
  ask.mockResolvedValue(page(['9', '7', '6']));
  await violations.signOff(['8'], 'seen');
  expect([shown(), violations.chosen.size]).toEqual(['9 7 6', 0]);
  violations.step(1);
  expect(violations.cursor).toBe('7');
  violations.step(-1);
  expect(violations.cursor).toBe('9');
});
