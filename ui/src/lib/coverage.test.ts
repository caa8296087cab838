import { expect, test } from 'vitest';
import type { Coverage, CoverageRow, Gap } from './api.ts';
import {
  cellState,
  cellWords,
  coverageRange,
  fold,
  hasGaps,
  level,
  rowQuery,
  stepFor,
  type Cell,
} from './coverage.ts';

const gap = (hour: number, missing: number | null): Gap => ({
  hour,
  name: 'gap.spool',
  missing,
  why: 'the spool was full',
  ledger: 'audit',
  index: 7,
});
const coverage = (rows: CoverageRow[]): Coverage => ({
  from: '2026-11-21T10:00:00Z',
  to: '2026-11-21T15:00:00Z',
  hours: 5,
  rows,
  cut: false,
});
const row = (more: Partial<CoverageRow>): CoverageRow => ({
  host: 'web1',
  source: 'auth',
  seen: [1, 2, 3, 4, 5],
  ...more,
});
const cell = (more: Partial<Cell>): Cell => ({
  from: 0,
  to: 1,
  seen: 0,
  expected: null,
  missing: 0,
  uncounted: false,
  silentS: 0,
  gaps: [],
  ...more,
});

test('hours are added up into as few cells as fit', () => {
  expect(stepFor(25, 800, 5)).toBe(1);
  expect(stepFor(169, 800, 5)).toBe(2);
  expect(stepFor(745, 800, 5)).toBe(6);
  expect(stepFor(745, 10, 5)).toBe(24);
  const of = row({
    expected: [null, 2, 3, 4, 5],
    missing: [0, 1, 0, 2, 0],
    silent_s: [60, 0, 30, 0, 0],
    gaps: [gap(1, 1), gap(4, null)],
  });
  const cells = fold(coverage([of]), of, 2);
  expect(cells.map((c) => [c.seen, c.expected, c.missing, c.silentS, c.gaps.length, c.uncounted])).toEqual([
    [3, 2, 1, 60, 1, false],
    [7, 7, 2, 30, 0, false],
    [5, 5, 0, 0, 1, true],
  ]);
  expect(new Date(cells[2]?.from ?? 0).toISOString()).toBe('2026-11-21T14:00:00.000Z');
  expect(new Date(cells[2]?.to ?? 0).toISOString()).toBe('2026-11-21T15:00:00.000Z');
});

test('a cell shows the worst it has', () => {
  for (const [of, state, words] of [
    [cell({}), 'none', '0 events'],
    [cell({ seen: 1 }), 'seen', '1 event'],
    [cell({ seen: 80, expected: 100 }), 'seen', '80 events, 100 expected'],
    [cell({ seen: 79, expected: 100 }), 'few', '79 events, 100 expected'],
    [cell({ seen: 5, gaps: [gap(0, 0)] }), 'gap', '5 events; 1 note'],
    [cell({ silentS: 720, expected: 60 }), 'silent', '0 events, 60 expected; silent for 12 min'],
    [cell({ silentS: 720, missing: 5 }), 'missing', '0 events; 5 missing; silent for 12 min'],
    [
      cell({ uncounted: true, gaps: [gap(0, null)] }),
      'missing',
      '0 events; some missing, nobody knows how many',
    ],
    [cell({ uncounted: true, missing: 5 }), 'missing', '0 events; at least 5 missing'],
  ] as const) {
    expect([cellState(of), cellWords(of)]).toEqual([state, words]);
  }
});

test('a level says how full a cell is beside the fullest', () => {
  expect([level(0, 100), level(1, 100), level(100, 100), level(1, 1), level(5, 0)]).toEqual([0, 1, 4, 4, 0]);
});

test('rows with gaps are told from those without', () => {
  expect(hasGaps(row({}))).toBe(false);
  expect(hasGaps(row({ missing: [0, 0, 1, 0, 0] }))).toBe(true);
  expect(hasGaps(row({ silent_s: [0, 60, 0, 0, 0] }))).toBe(true);
  expect(hasGaps(row({ gaps: [gap(0, 0)] }))).toBe(true);
});

test('a range is at most 31 days', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  for (const [from, to, start, end, less] of [
    ['-24h', 'now', '2026-11-20T12:00:00.000Z', '2026-11-21T12:00:00.000Z', false],
    ['', '', '2026-10-21T12:00:00.000Z', '2026-11-21T12:00:00.000Z', true],
    ['-365d', 'now', '2026-10-21T12:00:00.000Z', '2026-11-21T12:00:00.000Z', true],
    [
      '2026-01-01T00:00:00Z',
      '2026-01-02T00:00:00Z',
      '2026-01-01T00:00:00.000Z',
      '2026-01-02T00:00:00.000Z',
      false,
    ],
    ['now', 'now', '2026-11-21T11:59:59.999Z', '2026-11-21T12:00:00.000Z', false],
  ] as const) {
    expect(coverageRange({ from, to }, now)).toEqual({ from: start, to: end, less });
  }
});

test('a row is searched by its exact values', () => {
  expect(rowQuery('web1', 'auth')).toBe('host:web1 event_source:auth');
  expect(rowQuery('', 'billing-api')).toBe('-host:* event_source:billing-api');
  expect(rowQuery('a "b" \\', '-x*')).toBe('host:"a \\"b\\" \\\\" event_source:"-x*"');
});
