import { expect, test } from 'vitest';
import type { Alert, AlertPage, Deed } from './alert-api';
import { canDo, cannot, groupQuery, groupWords, mergeAlerts, toneOfLevel } from './alerts';

const alert = (id: string, more: Partial<Alert> = {}): Alert => ({
  id,
  rule: 'r',
  rule_version: 'v',
  title: 't',
  level: 'high',
  state: 'open',
  message: 'm',
  group: {},
  count: 1,
  events: 1,
  opened: '2026-11-21T00:00:00Z',
  last: '2026-11-21T00:00:00Z',
  evidence: [],
  ...more,
});
const page = (ids: string[], more: boolean): AlertPage => ({
  alerts: ids.map((id) => alert(id)),
  more,
  counts: { open: 0, acknowledged: 0, silenced: 0, resolved: 0, critical: 0, high: 0 },
});

test('what an alert is about is said and searched for', () => {
  const { group } = alert('a', { group: { host: 'web 1', 'event_data.key': 'a"b', username: '' } });
  expect(groupWords({ group })).toBe('host web 1, key a"b');
  expect(groupQuery({ group })).toBe('host:"web 1" event_data.key:"a\\"b"');
  // What was cut cannot be searched for.
  expect(groupQuery({ group: { resource: 'long…0f' } })).toBe('');
});

test('a list keeps what is older than the answer', () => {
  const ids = (alerts: Alert[]) => alerts.map(({ id }) => id).join('');
  const known = [...'edcba'].map((id) => alert(id));
  expect(ids(mergeAlerts(known, page(['f', 'e', 'd'], true)))).toBe('fedcba');
  expect(ids(mergeAlerts(known, page(['e', 'c'], true)))).toBe('ecba');
  expect(ids(mergeAlerts(known, page(['z', 'y'], true)))).toBe('zy');
  expect(ids(mergeAlerts(known, page(['e'], false)))).toBe('e');
});

test('only what is open is acknowledged', () => {
  expect(canDo('ack', { state: 'open' })).toBe(true);
  expect(canDo('ack', { state: 'acknowledged' })).toBe(false);
  expect(canDo('silence', { state: 'acknowledged' })).toBe(true);
  expect(canDo('resolve', { state: 'resolved' })).toBe(false);
  expect([toneOfLevel('critical'), toneOfLevel('medium'), toneOfLevel('low')]).toEqual(['bad', 'warn', '']);
});

test('why nothing can be done is said', () => {
  const said = (deed: Deed, state?: Alert['state']) => cannot(deed, state && { state });
  expect(said('ack', 'silenced')).toBe('Only what is open is acknowledged; this alert is silenced');
  expect(said('silence', 'resolved')).toBe('This alert is resolved already');
  expect(said('ack')).toBe('Select an alert first (x)');
});
