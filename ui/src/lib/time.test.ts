import { describe, expect, test } from 'vitest';
import {
  ago,
  boundMillis,
  formatTime,
  fromWall,
  isBound,
  parseBound,
  rangeLabel,
  resolveRange,
  span,
  zoneOffset,
} from './time';

const NOW = Date.parse('2026-11-21T10:30:00.500Z');

describe('parseBound', () => {
  const cases: [typed: string, zone: string, end: boolean, bound: string | null][] = [
    ['', 'UTC', false, ''],
    ['now', 'UTC', false, 'now'],
    ['-2h', 'UTC', false, '-2h'],
    ['2h', 'UTC', false, '-2h'],
    ['15 minutes ago', 'UTC', false, '-15m'],
    ['2026-11-20', 'UTC', false, '2026-11-20T00:00:00.000Z'],
    ['2026-11-20', 'UTC', true, '2026-11-21T00:00:00.000Z'],
    ['2026-11-20 09:15', 'UTC', true, '2026-11-20T09:15:00.000Z'],
    ['2026-11-20 09:15:30.25', 'Europe/Berlin', false, '2026-11-20T08:15:30.250Z'],
    ['2026-07-01 00:00', 'Europe/Berlin', false, '2026-06-30T22:00:00.000Z'],
    ['2026-11-20T09:15:00+02:00', 'UTC', false, '2026-11-20T07:15:00.000Z'],
    ['today', 'Asia/Kolkata', false, '2026-11-20T18:30:00.000Z'],
    ['yesterday', 'UTC', true, '2026-11-21T00:00:00.000Z'],
    ['09:15', 'America/New_York', false, '2026-11-21T14:15:00.000Z'],
    // Half past two does not exist on that morning.
    ['2026-03-29 02:30', 'Europe/Berlin', false, '2026-03-29T01:30:00.000Z'],
    ['2026-02-30', 'UTC', false, null],
    ['25:00', 'UTC', false, null],
    ['lunch', 'UTC', false, null],
    ['-5x', 'UTC', false, null],
  ];
  test.each(cases)('%j in %s (end %s) is %j', (typed, zone, end, bound) => {
    expect(parseBound(typed, zone, NOW, end)).toBe(bound);
    if (bound !== null) expect(isBound(bound)).toBe(true);
  });
});

test('a range resolves both ends from one now', () => {
  expect(resolveRange({ from: '-24h', to: 'now' }, NOW)).toEqual({
    from: '2026-11-20T10:30:00.500Z',
    to: '2026-11-21T10:30:00.500Z',
  });
  expect(resolveRange({ from: '', to: '' }, NOW)).toEqual({});
  expect(resolveRange({ from: '2026-01-01T00:00:00.123456789Z', to: '' }, NOW)).toEqual({
    from: '2026-01-01T00:00:00.123456789Z',
  });
  expect(boundMillis('-1w', NOW)).toBe(NOW - 7 * 86_400_000);
});

test.each([
  ['2026-11-21T10:00:00.123456789Z', 'UTC', 9, '2026-11-21 10:00:00.123456789'],
  ['2026-11-21T10:00:00.123456789Z', 'Europe/Berlin', 3, '2026-11-21 11:00:00.123'],
  ['2026-07-21T23:30:00Z', 'Asia/Kathmandu', 0, '2026-07-22 05:15:00'],
  ['1969-12-31T23:59:59.5Z', 'UTC', 1, '1969-12-31 23:59:59.5'],
  ['not a time', 'UTC', 3, 'not a time'],
])('formatTime %s in %s', (time, zone, digits, out) => {
  expect(formatTime(time, zone, digits)).toBe(out);
});

test('zone offsets follow daylight saving', () => {
  expect(zoneOffset(Date.parse('2026-03-29T00:59:59Z'), 'Europe/Berlin')).toBe(3_600_000);
  expect(zoneOffset(Date.parse('2026-03-29T01:00:00Z'), 'Europe/Berlin')).toBe(7_200_000);
  expect(fromWall(Date.parse('2026-10-25T12:00:00Z'), 'Europe/Berlin')).toBe(
    Date.parse('2026-10-25T11:00:00Z'),
  );
});

test.each([
  ['', '', 'All time'],
  ['-24h', 'now', 'Last 24 hours'],
  ['-1h', 'now', 'Last hour'],
  ['2026-11-20T08:00:00.000Z', '2026-11-20T09:30:00.000Z', '2026-11-20 08:00:00 – 09:30:00'],
  ['2026-11-20T08:00:00.000Z', '', '2026-11-20 08:00:00 – the last event'],
  ['-2d', '-1d', '-2d – -1d'],
])('rangeLabel %s … %s', (from, to, label) => {
  expect(rangeLabel({ from, to }, 'UTC')).toBe(label);
});

test('ago and span', () => {
  expect(ago(NOW - 3_000, NOW)).toBe('3 s ago');
  expect(ago(NOW + 7_200_000, NOW)).toBe('in 2 h');
  expect(ago(NOW, NOW)).toBe('now');
  expect(span(400 * 86_400)).toBe('400 days');
});
