import { expect, test } from 'vitest';
import { parseJson, type JsonObject } from './json';
import { grow, stack } from './stack';

const bucket = (time: string, count: number, by?: Record<string, number>) => ({
  time,
  count,
  ...(by ? { by } : {}),
});
const histogram = {
  from: '2026-01-01T00:00:00Z',
  to: '2026-01-01T00:02:00Z',
  count: 8,
  interval_s: 60,
  buckets: [
    bucket('2026-01-01T00:00:00Z', 6, { success: 3, failure: 1 }),
    bucket('2026-01-01T00:01:00Z', 2, { failure: 2 }),
  ],
  by_values: ['failure', 'success'],
};

test('layers add up to the bars, failures on top, what lacks the field below', () => {
  const { layers, sums, totals, starts, from, to } = stack(histogram, 'outcome');
  expect(layers.map((layer) => [layer.value, layer.counts])).toEqual([
    ['', [2, 0]],
    ['success', [3, 0]],
    ['failure', [1, 2]],
  ]);
  expect(sums).toEqual([
    [2, 0],
    [5, 0],
    [6, 2],
  ]);
  expect(sums.at(-1)).toEqual(totals);
  expect([starts[1], from, to]).toEqual([1767225660, 1767225600, 1767225720]);
});

test('values beyond those named fall into the rest', () => {
  const { layers } = stack({ ...histogram, by_values: ['success'] }, 'username');
  expect(layers.map((layer) => [layer.value, layer.counts])).toEqual([
    ['', [3, 2]],
    ['success', [3, 0]],
  ]);
});

test('without a field there is one layer, and an empty answer has bars of nothing', () => {
  expect(stack(histogram, '').layers.map((layer) => layer.counts)).toEqual([[6, 2]]);
  expect(stack({ ...histogram, buckets: [] }, '')).toMatchObject({
    starts: [],
    totals: [],
    from: 0,
    to: 60,
  });
});

test('a live histogram grows by bars as time goes on', () => {
  const row = (time: string, outcome?: string) => ({
    ledger: 'audit',
    index: 0,
    event: parseJson(JSON.stringify({ event_time: time, outcome })) as JsonObject,
  });
  const grown = grow(histogram, 'outcome', [
    row('2026-01-01T00:01:59.999999999Z', 'success'),
    row('2026-01-01T00:04:00.5Z', 'failure'),
    row('2026-01-01T00:04:01Z'),
    row('2025-01-01T00:00:00Z'),
    row('2027-01-01T00:00:00Z'),
    row('lunch'),
  ]);
  expect(grown.buckets.map((bucket) => bucket.count)).toEqual([6, 3, 0, 0, 2]);
  expect(grown.buckets[1]?.by).toEqual({ failure: 2, success: 1 });
  expect(grown).toMatchObject({ count: 11, to: '2026-01-01T00:05:00.000Z' });
  expect(histogram.buckets).toHaveLength(2);
  expect(stack(grown, 'outcome').totals).toEqual([6, 3, 0, 0, 2]);
});

test('a range of moments is widened, so that its times can be read', () => {
  const moment = { ...histogram, interval_s: 0.001, buckets: [bucket('2026-01-01T00:00:00Z', 1)] };
  const { from, to, starts } = stack(moment, '');
  expect(to - from).toBeCloseTo(3);
  expect(starts[0]).toBeGreaterThan(from);
});
